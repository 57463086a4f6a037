// Package sdktest is the conformance suite that a plugin's own test calls:
//
//	func TestConformance(t *testing.T) {
//		sdktest.Interceptor(t, sdktest.Subject{New: mask.New, Config: map[string]string{"fields": "card"}})
//	}
//
// It shows the plugin every shape of batch that a broker may (Goldens: each codec, nulls, headers, an idempotent
// producer, transactions, the largest record with each codec, a batch that has no records left) and holds it to what
// hosts rely on: the same answer to the same batch, records in order, nothing written to what is the host's, no panic
// whatever records hold, few allocations.
//
// Given the file of a WASM module it also compares: the module must answer as the native plugin does. Then it makes
// trouble, always the same:
//
//	limits           without fuel, or with 64 KiB of memory, which no module starts with
//	cut off          it traps after each eighth of the fuel that a batch takes, or its deadline is over
//	                 between two parts of a batch: the batch stays as it was, hosts do with it what
//	                 on.error says, and the next call, on a new instance, is right
//	less memory      its memory may grow to less, step by step, until it does not start: an answer is
//	                 right, or there is a clean error
//	changed answers  bits, bytes and ends of what it answers are changed on the way: hosts refuse that,
//	                 or make a whole batch of it, and nobody panics
//
// How long a call may take by the clock (deadline.ms) is a matter of the machine, and not looked at; fuel is what
// bounds a module. Partitioner and PartitionerModule, Serializer and SerializerModule, Assignor, ProducerInterceptor
// and ConsumerInterceptor do for those kinds what there is of it: their calls have no deadline, and they are loaded
// with 64 KiB of memory only; what a partitioner answers is a number, in no memory that could be changed.
//
// Allocations are counted, which Go does not do beside parallel tests: those that call the suites must not be any.
//
// Failures are reported through T, so that the suite can be shown to fail (see its tests).
package sdktest

// T is what the suite needs of a *testing.T.
type T interface {
	Helper()
	Errorf(format string, arguments ...any)
	Fatalf(format string, arguments ...any)
}
