// Package session opens a connection to a cluster for a command-line tool:
// from the properties that Kafka's users have to a client that answers.
//
//	--command-config FILE ─┐
//	--command-property k=v ─┼─▶ Properties ──▶ client options ──▶ Session
//	--bootstrap-server     ─┘        │
//	                                 └─▶ a warning for each name that means nothing here
//
// A session never waits without a bound: when no broker answers in time, the
// error names the addresses, the reason and what to try.
package session
