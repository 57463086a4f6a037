package main

// mutants are the brokers that the simulator must find.
var mutants = []mutant{
	{"partition: the high watermark does not wait for the disk", []edit{{
		"engine/partition/partition.go", "limit := p.synced\n", "limit := p.written\n"}}},
	{"partition: the last stable offset is not held", []edit{{
		"engine/partition/partition.go", "if len(p.spans) == 0 {\n\t\treturn p.high", "if len(p.spans) >= 0 {\n\t\treturn p.high"}}},
	// One of the two is enough to hold an old producer off.
	{"partition and txn: old epochs are not fenced", []edit{
		{"engine/partition/producer.go", "case epoch < known.epoch:\n\t\treturn nil, kerr.InvalidProducerEpoch", "case false:"},
		{"engine/txn/transaction.go", "return m.epoch == epoch && epoch != lastEpoch", "return epoch <= m.epoch && epoch != lastEpoch"}}},
	{"partition: a repeated batch is not recognised", []edit{
		{"engine/partition/producer.go", "if b.ProducerEpoch() != p.epoch {", "if b.ProducerEpoch() >= 0 {"},
		{"engine/partition/producer.go", "case epoch == known.epoch && !follows(known.lastSequence(), sequence):", "case false:"}}},
	{"partition: gaps in sequences are taken", []edit{{
		"engine/partition/producer.go", "case epoch == known.epoch && !follows(known.lastSequence(), sequence):", "case false:"}}},
	{"partition: a marker of one transaction ends the next", []edit{{
		"engine/partition/transaction.go", "case e.ProducerEpoch < known.epoch:\n", "case false:\n"}, {
		"engine/txn/coordinator.go", "ProducerEpoch: t.epoch, Commit", "ProducerEpoch: max(t.epoch-1, 0), Commit"}}},
	{"shard: the snapshot of producers is forgotten", []edit{{
		"engine/shard/open.go", " || machine.Restore(saved) != nil {", " {"}}},
	{"shard: what waits for a log to be opened runs last first", []edit{{
		"engine/shard/opening.go", "\tif o.last == nil {\n\t\to.first = n\n\t} else {\n\t\to.last.next = n\n\t}\n", "\tn.next, o.first = o.first, n\n"}}},
	{"shard: what waits for a log to be opened is forgotten", []edit{{
		"engine/shard/opening.go", "for n := o.first; n != nil; {", "for n := o.first; false; {"}}},
	{"shard: nobody asks the coordinator", []edit{
		{"engine/shard/append.go", "if a.Batch.Transactional() && r.verify(a) {", "if false && r.verify(a) {"},
		{"engine/partition/transaction.go", "if t == nil || o.Ticket != t.number {\n\t\treturn false", "if t == nil || o.Ticket != t.number || true {\n\t\treturn true"}}},
	{"shard: aborted transactions are not noted", []edit{{
		"engine/shard/marker.go", "if ended.Aborts {", "if false {"}}},
	{"shard: groups are not told of markers", []edit{{
		"engine/shard/marker.go", "m.Replica.transactionEnded(m.ending.Marker)", "_ = m.Replica"}}},
	{"shard: decisions about transactions are not in the log", []edit{{
		"engine/shard/transactions.go", "\ta.Send()\n", "\tt.back(func() { done(nil) })\n"}}},
	{"api: what was aborted is not told to readers", []edit{{
		"engine/api/01_fetch.go", "t.result.Aborted = f.aborted[from:len(f.aborted):len(f.aborted)]", "_ = from"}}},
	{"txn: InitProducerId keeps the epoch", []edit{{
		"engine/txn/init.go", "next.last, next.epoch = -1, t.epoch+1", "next.last, next.epoch = -1, max(t.epoch, 0)"}}},
	{"txn: a transaction past its time is aborted and its producer not fenced", []edit{{
		"engine/txn/init.go", "next := t.decided(c.now, false, true, -1, t.version)", "next := t.decided(c.now, false, false, -1, t.version)"}}},
	{"txn: a late EndTxn ends the next transaction", []edit{{
		"engine/txn/end.go", " || t.state != CompleteCommit && t.state != CompleteAbort {", " {"}}},
	{"txn: what was decided before a crash is not completed", []edit{{
		"engine/txn/coordinator.go", "if t.state.preparing() {\n\t\t\tc.complete(t)", "if false {\n\t\t\tc.complete(t)"}}},
	{"txn: transactions never end by themselves", []edit{{
		"engine/txn/tick.go", "return t.state == Ongoing && t.started", "return false && t.started"}}},
	{"txn: the answer to a fencing does not wait for the abort", []edit{{
		"engine/txn/init.go", "if t.state == Ongoing {", "if false {"}}},
	// A client that does one thing after the other is never in an old generation of which it is still a member.
	{"group: offsets in transactions are taken from who is no member any more", []edit{{
		"engine/group/transaction.go", "case err != nil:\n\t\treturn nil, err\n\tcase q.Generation != g.generation:", "case false:\n\t\treturn nil, err\n\tcase false:"}}},
	{"group: offsets in transactions are taken from any member epoch", []edit{{
		"engine/group/transaction.go", "err := g.consumerCommitter(q)", "var err *kerr.Error"}}},
	{"group: offsets of open transactions are told as they were", []edit{{
		"engine/group/transaction.go", "return g != nil && g.offsets[name] != nil &&", "return false && g.offsets[name] != nil &&"}}},
	{"group: offsets of aborted transactions count", []edit{{
		"engine/group/transaction.go", "if commit && (e.value == nil", "if (e.value == nil"}}},
	{"group: offsets in transactions are forgotten in a crash", []edit{{
		"engine/shard/groups.go", "case b.Transactional():\n\t\treturn g", "case b.Transactional():\n\t\treturn nil\n\tcase false:\n\t\treturn g"}}},
	{"commitlog: the name of an index of aborted transactions is not durable, nor missed", []edit{
		{"engine/commitlog/aborted.go", "diskio.WriteFile(s.log.fs, s.path+txnSuffix, data)", "s.writeIndex(txnSuffix, data)"},
		{"engine/commitlog/aborted.go", "case missing && !txn.there:", "case missing:"}}},
	{"shard: after a roll only the new segment is synced", []edit{{
		"engine/shard/write.go", "r.done.left.Store(2)\n\t\tr.disk.Syncer.Sync(&r.rolled)", "r.done.left.Store(1)"}}},
}
