// Package sdktest is the conformance suite that a plugin's own test calls:
//
//	func TestConformance(t *testing.T) {
//		sdktest.Interceptor(t, sdktest.Subject{New: mask.New, Config: map[string]string{"fields": "card"}})
//	}
//
// It shows the plugin every shape of batch that a broker may (Goldens) and holds it to what
// hosts rely on: the same answer to the same batch, records in order, nothing written to what
// is the host's, no panic whatever records hold, few allocations. Given the file of a WASM
// module it also compares: the module must answer as the native plugin does, and be cut off
// when it has no fuel, no memory or no time. Partitioner and PartitionerModule, Serializer and
// SerializerModule, Assignor, ProducerInterceptor and ConsumerInterceptor do the same for those kinds.
//
// Failures are reported through T, so that the suite can be shown to fail (see its tests).
package sdktest

// T is what the suite needs of a *testing.T.
type T interface {
	Helper()
	Errorf(format string, arguments ...any)
	Fatalf(format string, arguments ...any)
}
