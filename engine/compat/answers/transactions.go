package answers

import (
	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactions is what their producers ask of partitions and of coordinators.
var transactions = Set{Name: "transactions", Cases: []Case{
	{Name: "who coordinates", Ask: func(t *Talk) {
		t.coordinator(0, "who")
		t.coordinator(1, "who")
		q := kmsg.NewPtrFindCoordinatorRequest()
		for _, kind := range []int8{0, 1, 3} {
			for _, key := range []string{"key", ""} {
				q.CoordinatorType, q.CoordinatorKey, q.CoordinatorKeys = kind, key, []string{key}
				t.AskAt(q, 1, 3, 4, 6)
			}
		}
		q.CoordinatorType, q.CoordinatorKeys = 0, []string{"a", "b"}
		t.Ask(4, q)
		q.CoordinatorKeys = nil
		t.Ask(4, q)
	}},
	{Name: "a producer asks for its id", Ask: initProducer},
	{Name: "a transaction of version 1", Ask: transactionOne},
	{Name: "what coordinators refuse", Ask: transactionRefused},
	{Name: "a transaction of version 2", Ask: transactionTwo},
	{Name: "a transaction that another producer ends", Ask: func(t *Talk) {
		t.led("fenced", 1)
		p := t.begin("fenced", "fenced", 60000)
		p.send(t, "fenced", 0, 0)
		t.Ask(4, p.init(60000, -1))
		p.settled(t)
		t.Note("the one before goes on")
		t.Ask(4, p.init(60000, p.epoch))
		t.Note("but not once another has")
		t.Ask(4, p.init(60000, -1))
		t.Ask(4, p.init(60000, p.epoch))
		p.send(t, "fenced", 0, 1)
		t.AskAt(p.end(true), 1, 2, 5)
		t.AskAt(p.add("fenced", 0), 1, 2, 3)
	}},
	{Name: "a transaction that takes too long", Ask: func(t *Talk) {
		t.led("late", 1)
		p := t.begin("late", "late", 500)
		p.send(t, "late", 0, 0)
		p.ended(t, "CompleteAbort")
		t.AskAt(p.end(true), 1, 2, 4)
		p.send(t, "late", 0, 1)
		t.AskAt(p.add("late", 0), 1, 3)
		t.Note("it goes on with the epoch that it had")
		t.Ask(4, p.init(60000, p.epoch))
		t.Ask(4, p.init(60000, -1))
	}},
	{Name: "offsets in a transaction", Ask: offsetsInTransaction},
	{Name: "offsets in a transaction whose group is deleted", Ask: offsetsDeleted},
	{Name: "markers", Mask: []string{"HighWatermark", "LastStableOffset", "RecordBatches", "AbortedTransactions"}, Ask: markers},
	{Name: "an epoch that nobody has does not disturb who has one", Ask: func(t *Talk) {
		t.led("disturbed", 1)
		t.coordinator(1, "disturbed")
		p := producer{"disturbed", t.producer("disturbed"), 0}
		t.Ask(12, produce("disturbed", 0, p.name, parcel{records: 1, producer: p.id, epoch: 9, transactional: true}.batch()))
		t.Ask(12, produce("disturbed", 0, p.name, parcel{records: 1, producer: p.id, transactional: true}.batch()))
	}},
}}

// A producer is one with a transactional id.
type producer struct {
	name  string
	id    int64
	epoch int16
}

// begin makes a producer that has begun a transaction in partition 0 of a topic.
func (t *Talk) begin(name, topic string, timeout int32) producer {
	t.coordinator(1, name)
	p := producer{name: name}
	a := t.Ask(4, p.init(timeout, -1))
	p.id = a.(*kmsg.InitProducerIDResponse).ProducerID //nolint:forcetypeassert // the answer to InitProducerId
	t.Ask(3, p.add(topic, 0))
	return p
}

// init asks for an id, or with an epoch for the next one.
func (p producer) init(timeout int32, epoch int16) *kmsg.InitProducerIDRequest {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionalID, q.TransactionTimeoutMillis, q.ProducerID, q.ProducerEpoch = &p.name, timeout, -1, epoch
	if epoch >= 0 {
		q.ProducerID = p.id
	}
	return q
}

func (p producer) add(topic string, partitions ...int32) *kmsg.AddPartitionsToTxnRequest {
	q := kmsg.NewPtrAddPartitionsToTxnRequest()
	q.TransactionalID, q.ProducerID, q.ProducerEpoch = p.name, p.id, p.epoch
	q.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: partitions}}
	q.Transactions = []kmsg.AddPartitionsToTxnRequestTransaction{{
		TransactionalID: p.name, ProducerID: p.id, ProducerEpoch: p.epoch,
		Topics: []kmsg.AddPartitionsToTxnRequestTransactionTopic{{Topic: topic, Partitions: partitions}},
	}}
	return q
}

func (p producer) end(commit bool) *kmsg.EndTxnRequest {
	return &kmsg.EndTxnRequest{TransactionalID: p.name, ProducerID: p.id, ProducerEpoch: p.epoch, Commit: commit}
}

// send writes one record of the transaction, as a client that adds partitions itself.
func (p producer) send(t *Talk, topic string, partition, sequence int32) {
	t.Ask(11, produce(topic, partition, p.name, parcel{records: 1, producer: p.id, epoch: p.epoch, sequence: sequence, transactional: true}.batch()))
}

// describe asks for the state of the transaction.
func (p producer) describe() *kmsg.DescribeTransactionsRequest {
	return &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{p.name}}
}

// settled waits until markers are written.
func (p producer) settled(t *Talk) {
	t.Until(0, p.describe(), func(a kmsg.Response) bool {
		state := a.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State //nolint:forcetypeassert // the answer to DescribeTransactions
		return state != "PrepareAbort" && state != "PrepareCommit"
	})
}

// ended waits for a state.
func (p producer) ended(t *Talk, state string) {
	t.Until(0, p.describe(), func(a kmsg.Response) bool {
		return a.(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State == state //nolint:forcetypeassert // the answer to DescribeTransactions
	})
}

func initProducer(t *Talk) {
	t.coordinator(1, "init")
	none := kmsg.NewPtrInitProducerIDRequest()
	none.ProducerID, none.ProducerEpoch = -1, -1
	t.AskAt(none, 0, 4, 5)
	none.TransactionalID = new(string)
	t.Ask(4, none)
	p := producer{name: "init"}
	for _, timeout := range []int32{0, -1, 900001} {
		t.Ask(4, p.init(timeout, -1))
	}
	half := p.init(60000, -1)
	half.ProducerID = 5
	t.Ask(4, half)
	half.ProducerID, half.ProducerEpoch = -1, 5
	t.Ask(4, half)
	t.Ask(0, p.describe())
	a := t.Ask(4, p.init(60000, -1))
	p.id = a.(*kmsg.InitProducerIDResponse).ProducerID //nolint:forcetypeassert // the answer to InitProducerId
	t.Ask(0, p.describe())
	t.Ask(4, p.init(60000, -1))
	t.Note("right, again, too old, too new, another id")
	t.Ask(4, p.init(60000, 1))
	t.Ask(4, p.init(60000, 1))
	t.Ask(4, p.init(60000, 0))
	t.Ask(3, p.init(60000, 0))
	t.Ask(4, p.init(60000, 9))
	p.id += 1000
	t.Ask(4, p.init(60000, 2))
	t.Ask(0, p.init(60000, -1))
	t.Ask(0, &kmsg.DescribeTransactionsRequest{TransactionalIDs: []string{"init", "absent", ""}})
}

func transactionOne(t *Talk) {
	t.led("one", 3)
	p := t.begin("one", "one", 60000)
	t.AskAt(p.add("one", 0), 0, 3)
	t.Note("a partition that is not in it, somebody else's transaction, no transaction, a gap, an epoch")
	p.send(t, "one", 0, 0)
	p.send(t, "one", 2, 0)
	producer{"other", p.id, 0}.send(t, "one", 1, 0)
	t.Ask(11, produce("one", 0, p.name, parcel{records: 1, producer: p.id, sequence: 1}.batch()))
	p.send(t, "one", 0, 7)
	producer{p.name, p.id, 1}.send(t, "one", 1, 0)
	read := fetch("one", 0, 0)
	t.Ask(12, read)
	read.IsolationLevel = 1
	t.Ask(12, read)
	for _, at := range []int64{-1, -3} {
		q := offsets("one", at)
		q.IsolationLevel = 1
		t.Ask(7, q)
	}
	t.Ask(0, &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "one", Partitions: []int32{0, 1}}}})
	t.Ask(3, p.end(true))
	p.settled(t)
	t.Ask(3, p.end(true))
	t.Ask(3, p.end(false))
	t.Ask(12, read)
	t.Note("the next one is aborted")
	t.Ask(3, p.add("one", 0))
	p.send(t, "one", 0, 1)
	t.Ask(3, p.end(false))
	p.settled(t)
	t.Ask(3, p.end(false))
	t.Ask(3, p.end(true))
	for _, offset := range []int64{0, 2, 3} {
		read.Topics[0].Partitions[0].FetchOffset = offset
		t.Ask(12, read)
	}
	t.Ask(0, &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "one", Partitions: []int32{0}}}})
}

func transactionRefused(t *Talk) {
	t.led("refused", 2)
	t.coordinator(0, "refused")
	p := t.begin("refused", "refused", 60000)
	for _, wrong := range []producer{{p.name, p.id, 3}, {p.name, p.id + 500, 0}, {"absent", p.id, 0}, {"", p.id, 0}} {
		t.AskAt(wrong.add("refused", 0), 1, 3, 4)
		verify := wrong.add("refused", 0)
		verify.Transactions[0].VerifyOnly = true
		t.AskAt(verify, 4, 5)
		t.AskAt(wrong.end(true), 1, 3, 5)
		t.AskAt(&kmsg.AddOffsetsToTxnRequest{TransactionalID: wrong.name, ProducerID: wrong.id, ProducerEpoch: wrong.epoch, Group: "refused"}, 1, 3)
	}
	t.Note("what is in it")
	verify := p.add("refused", 0, 1)
	verify.Transactions[0].VerifyOnly = true
	t.AskAt(verify, 4, 5)
	t.Ask(5, p.add("refused", 9))
	t.Ask(3, p.add("refused", 0, 9))
	t.Ask(3, p.add("absent", 0))
	t.AskAt(&kmsg.AddOffsetsToTxnRequest{TransactionalID: p.name, ProducerID: p.id}, 3)
}

func transactionTwo(t *Talk) {
	t.led("two", 2)
	t.coordinator(1, "two")
	p := producer{"two", t.producer("two"), 0}
	send := func(partition int32, epoch int16, sequence int32) {
		t.Ask(12, produce("two", partition, p.name, parcel{records: 1, producer: p.id, epoch: epoch, sequence: sequence, transactional: true}.batch()))
	}
	end := func(epoch int16, commit bool) {
		t.Ask(5, producer{p.name, p.id, epoch}.end(commit))
		p.settled(t)
	}
	send(0, 0, 3)
	send(0, 0, 0)
	send(1, 4, 0)
	end(3, true)
	end(0, true)
	t.Note("again, and otherwise")
	end(0, true)
	end(0, false)
	send(0, 0, 1)
	send(0, 1, 0)
	t.Note("too late a repetition")
	end(0, true)
	end(1, false)
	end(1, false)
	end(1, true)
	t.Note("of nothing")
	end(2, true)
	end(2, false)
	t.Ask(4, producer{p.name, p.id, 3}.end(false))
	t.Ask(4, producer{p.name, p.id, 3}.end(true))
	send(0, 1, 1)
	t.Note("open, and begun anew")
	send(0, 3, 0)
	p.epoch = 3
	t.Ask(5, p.init(60000, 3))
	p.settled(t)
	t.Ask(5, p.init(60000, 3))
	t.Ask(5, p.init(60000, -1))
	read := fetch("two", 0, 0)
	read.IsolationLevel = 1
	t.Ask(12, read)
}

// commitIn is a TxnOffsetCommit of partition 0 of a topic.
func (p producer) commitIn(group, topic string) *kmsg.TxnOffsetCommitRequest {
	q := kmsg.NewPtrTxnOffsetCommitRequest()
	q.TransactionalID, q.Group, q.ProducerID, q.ProducerEpoch, q.Generation = p.name, group, p.id, p.epoch, -1
	q.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{{Offset: 7, LeaderEpoch: -1}}}}
	return q
}

func committedOf(group, topic string) *kmsg.OffsetFetchRequest {
	q := kmsg.NewPtrOffsetFetchRequest()
	q.RequireStable = true
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	if topic != "" {
		g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{0}}}
	}
	q.Groups = append(q.Groups, g)
	return q
}

func offsetsInTransaction(t *Talk) {
	t.led("in", 1)
	t.coordinator(0, "in")
	p := t.begin("in", "in", 60000)
	t.Note("not added yet, then added")
	t.Ask(3, p.commitIn("in", "in"))
	t.Ask(3, &kmsg.AddOffsetsToTxnRequest{TransactionalID: p.name, ProducerID: p.id, ProducerEpoch: p.epoch, Group: "in"})
	t.Ask(3, p.commitIn("in", "in"))
	t.Ask(3, p.commitIn("in", "absent"))
	t.Ask(3, p.commitIn("", "in"))
	q := p.commitIn("in", "in")
	q.MemberID = "nobody"
	t.Ask(3, q)
	q.Generation = 5
	t.Ask(3, q)
	for _, wrong := range []producer{{p.name, p.id, 5}, {p.name, p.id + 50, 0}, {"absent", p.id + 60, 0}} {
		t.AskAt(wrong.commitIn("in", "in"), 3, 5)
	}
	t.Ask(8, committedOf("in", "in"))
	t.Ask(8, committedOf("in", ""))
	t.Ask(3, p.end(true))
	p.settled(t)
	t.Ask(8, committedOf("in", "in"))
	t.Note("added by the commit, and aborted")
	t.Ask(5, p.commitIn("in-too", "in"))
	t.Ask(8, committedOf("in-too", "in"))
	t.Ask(4, p.end(false))
	p.settled(t)
	t.Ask(8, committedOf("in-too", "in"))
}

func offsetsDeleted(t *Talk) {
	t.led("gone", 1)
	t.coordinator(0, "gone")
	p := t.begin("gone", "gone", 60000)
	t.Ask(5, p.commitIn("gone", "gone"))
	t.Ask(2, &kmsg.DeleteGroupsRequest{Groups: []string{"gone"}})
	t.Ask(8, committedOf("gone", "gone"))
	t.Ask(4, p.end(true))
	p.settled(t)
	t.Ask(8, committedOf("gone", "gone"))
}

func markers(t *Talk) {
	t.led("markers", 2)
	p := t.begin("markers", "markers", 60000)
	p.send(t, "markers", 0, 0)
	mark := func(version int8, epoch int16, commit bool, coordinator int32, topic string, partition int32) {
		q := kmsg.NewPtrWriteTxnMarkersRequest()
		m := kmsg.NewWriteTxnMarkersRequestMarker()
		m.ProducerID, m.ProducerEpoch, m.Committed, m.CoordinatorEpoch, m.TransactionVersion = p.id, epoch, commit, coordinator, version
		m.Topics = []kmsg.WriteTxnMarkersRequestMarkerTopic{{Topic: topic, Partitions: []int32{partition}}}
		q.Markers = append(q.Markers, m)
		t.Ask(min(2, 1+int16(version)), q)
	}
	mark(0, 0, true, 0, "absent", 0)
	mark(0, 0, true, 0, "markers", 7)
	mark(2, 0, false, 0, "markers", 0)
	mark(0, 0, false, 3, "markers", 0)
	mark(0, 0, false, 2, "markers", 0)
	mark(0, 3, true, 3, "markers", 0)
	mark(0, 2, true, 3, "markers", 0)
	mark(2, 4, true, 3, "markers", 0)
	read := fetch("markers", 0, 0)
	read.IsolationLevel = 1
	t.Ask(12, read)
	t.Ask(0, &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{{Topic: "markers", Partitions: []int32{0}}}})
}
