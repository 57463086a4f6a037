// Package conformance is what both engines of a producer must do, against a broker that a
// test starts in its process, and through a proxy that cuts connections, holds answers
// back, garbles them or answers itself.
//
//	go test ./sdk/client/conformance
//	MILLRACE_CONFORMANCE_BROKER=127.0.0.1:9092 go test ./sdk/client/conformance
//
// The second form runs it against a broker that is there, such as Apache Kafka's. franz-go
// is the oracle: what it does not do either is not asked of the native engine, and where
// the two differ on purpose a test says so.
package conformance
