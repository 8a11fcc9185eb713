/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * test_container.c - ids in cgroup paths, as the runtimes write them.
 */
#include "unit.h"

#include "container.h"

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define POD "1234abcd-0000-1111-2222-abcdefabcdef"
#define POD_ "1234abcd_0000_1111_2222_abcdefabcdef"
#define STATIC "00112233445566778899aabbccddeeff"

static void ids_are_found_in_every_runtimes_path(void **state)
{
	static const struct {
		const char *text, *id, *pod;
	} expected[] = {
		{ "0::/\n", "", "" },
		{ "", "", "" },
		{ "0::/system.slice/shop.service\n", "", "" },
		{ "0::/docker/" ID "\n", ID, "" },
		{ "0::/docker/" ID, ID, "" },
		{ "0::/system.slice/docker-" ID ".scope\n", ID, "" },
		{ "0::/machine.slice/libpod-" ID ".scope/container\n", ID, "" },
		{ "0::/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope\n", ID, "" },
		{ "0::/kubepods/burstable/pod" POD "/" ID "\n", ID, POD },
		{ "0::/kubepods/pod" POD "/crio-" ID "\n", ID, POD },
		{ "0::/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD_ ".slice/cri-containerd-" ID
		  ".scope\n", ID, POD },
		{ "0::/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" ID ".scope/init\n", ID, POD },
		{ "0::/kubepods/besteffort/pod" STATIC "/" ID "\n", ID, STATIC },
		{ "0::/system.slice/containerd.service/kubepods-burstable-pod" POD_ ".slice:cri-containerd:" ID "\n", ID, "" },
		/* v1: the first line that has one */
		{ "12:cpuset:/\n11:memory:/docker/" ID "\n1:name=systemd:/docker/" ID2 "\n0::/\n", ID, "" },
		{ "11:memory:/kubepods/pod" POD "/" ID "\n0::/\n", ID, POD },
		/* nested: the innermost */
		{ "0::/docker/" ID "/kubepods/pod" POD "/" ID2 "\n", ID2, POD },
		/* seen from another cgroup namespace */
		{ "0::/../../pod" POD "/" ID "\n", ID, POD },
		/* no container, or not whole */
		{ "0::/docker/0123456789abcdef\n", "", "" },
		{ "0::/docker/" ID "0\n", "", "" },
		{ "0::/docker/x" ID "\n", "", "" },
		{ "0::/docker/0123456789ABCDEF0123456789abcdef0123456789abcdef0123456789abcdef\n", "", "" },
		{ "0::/kubepods/burstable/pod" POD "0\n", "", "" },
		{ "0::/kubepods/burstable/" POD "\n", "", "" },
		{ "0::/kubepods/burstable/mypod" POD "\n", "", "" },
		{ "0::/pod\n", "", "" },
	};
	char id[CONTAINER_ID_BYTES], pod[CONTAINER_POD_BYTES];

	(void)state;
	for (size_t i = 0; i < COUNT(expected); i++) {
		container_of_cgroup(expected[i].text, id, pod);
		assert_string_equal(id, expected[i].id);
		assert_string_equal(pod, expected[i].pod);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = { cmocka_unit_test(ids_are_found_in_every_runtimes_path) };

	return cmocka_run_group_tests_name("container", tests, NULL, NULL);
}
