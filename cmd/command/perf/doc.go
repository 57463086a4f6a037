// Package perf measures a cluster as Kafka's own performance tests do and prints
// what they print, so that figures from scripts stay comparable. Both are closed
// loops: a slow broker slows the sender, and what it would have sent meanwhile is
// in no figure. `millrace bench` measures without that flaw.
package perf
