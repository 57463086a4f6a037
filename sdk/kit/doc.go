// Package kit runs a real broker inside a test: nothing to install, nothing to wait for,
// and it ends with the test.
//
//	func TestOrdersArrive(t *testing.T) {
//		b := kit.Start(t, kit.Options{Topics: map[string]int32{"orders": 3}})
//		client, err := kgo.NewClient(kgo.SeedBrokers(b.Address()))
//		…
//	}
//
// It is the broker that `millrace serve` runs, with sockets, group commit and recovery; only
// its disk is in memory unless the test wants a real one. Several run side by side, each
// on a port of its own.
//
// Two things are the test's that are nobody's elsewhere. Time: Advance moves the broker's
// clock, so that sessions, transactions and records grow old without anybody waiting. And
// misfortune: Inject loses requests and answers, delays and refuses them, Disconnect and
// FailSync do what networks and disks do.
//
//	test ──Advance──▶ clock ─┐
//	     ──Inject───▶ faults ┴▶ broker ◀── client of the program that is tested
//	     ──FailSync─▶ disk ───┘
package kit
