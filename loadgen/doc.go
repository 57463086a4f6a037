// Package loadgen makes load for any broker that speaks Kafka's protocol and measures
// what its users would see.
//
// It is an open model. When every batch of every connection is due is fixed before the
// first one leaves (Schedule), and no slow answer can postpone it: a batch that could
// not leave in time still counts from the moment at which it was due.
//
//	due              sent              acknowledged          read by a consumer
//	 │◀── send lag ──▶│◀─── service ────▶│                         │
//	 │◀──────────── response ───────────▶│                         │
//	 │◀──────────────────────── end to end ───────────────────────▶│
//
// Send lag has two causes. While the broker owes so many answers that the connection may
// not send, or its socket is full, the wait is the broker's doing and belongs into the
// response time. What is left is the load generator's own lag; when that or its share of
// the processor passes a bound, the figures say more about the generator than about the
// broker, and the phase is INVALID instead of slow.
//
// As fast as it goes (max) is the other mode: bounded requests in flight and no schedule.
// It measures throughput and cost; its latencies are service times.
//
// One goroutine, locked to its thread, runs all connections of a loop: own wire format,
// own sockets, no allocation per request. The kgo driver runs the same phases through
// franz-go instead.
package loadgen
