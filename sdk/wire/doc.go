// Package wire reads and writes in place what clients send too often to have it as
// structures: request headers and Produce. Everything else is kmsg's.
//
// A request is appended to memory of the caller's, and need not hold the records: what goes
// before a batch ends where the batch begins. A response is read without copying: names
// point into it. Every count is checked against the bytes that are left, so that no answer
// costs more than its own size.
//
// Source: https://kafka.apache.org/protocol, KIP-482 (flexible versions).
package wire
