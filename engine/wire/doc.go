// Package wire reads and writes in place what the broker handles too often to decode
// into structures of its own memory: request headers, Produce and Fetch. All other
// requests are kmsg's, and only once a Shape has found them to be whole.
//
// A request is parsed once and whole before anything is done for it, into slices that
// the caller keeps and uses again; names and records point into the frame. A response
// is appended to memory of the caller's, and the records of a fetch are not part of it:
// the writer says where they belong, and the network core sends them from where they lie.
//
// Every count is checked against the bytes that are left before memory is taken for it,
// so a request costs no more than a small multiple of its own size, and never has more
// than a million elements.
//
// Source: https://kafka.apache.org/protocol, KIP-482 (flexible versions), KIP-516 (topic
// ids), KIP-227 (fetch sessions), KIP-951 (leaders in responses).
package wire
