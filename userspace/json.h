/* SPDX-License-Identifier: BSD-2-Clause */
/* json.h - a protobuf message as OTLP's JSON. */
#ifndef PROBEMETER_JSON_H
#define PROBEMETER_JSON_H

#include <stddef.h>
#include <stdint.h>

#include <protobuf-c/protobuf-c.h>

struct arena;

/**
 * json_write - the JSON that says what the packed message would say
 * @message: proto3, made by protoc-c; its strings are valid UTF-8. Recursion is as deep as the message is.
 * @arena:   owns the bytes
 * @ret, @ret_size: JSON in UTF-8, without a NUL behind it; untouched on failure
 *
 * A field is written when, and only when, protobuf-c packs it: defaults are left out, a member of a oneof never is.
 *
 * Return: 0 or -ENOMEM.
 * Source: Protocol Buffers, "ProtoJSON Format"; OTLP specification 1.x, "JSON Protobuf Encoding": lowerCamelCase keys,
 * enums as numbers, 64-bit integers as strings.
 */
int json_write(const ProtobufCMessage *message, struct arena *arena, uint8_t **ret, size_t *ret_size);

#endif
