# SPDX-License-Identifier: BSD-2-Clause
#
# find_package(probemeter) gives target probemeter::probemeter: headers, nothing to link.
get_filename_component(probemeter_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET probemeter::probemeter)
	add_library(probemeter::probemeter INTERFACE IMPORTED)
	set_target_properties(probemeter::probemeter PROPERTIES INTERFACE_INCLUDE_DIRECTORIES "${probemeter_prefix}/include")
endif()
