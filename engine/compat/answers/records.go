package answers

import (
	"encoding/binary"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// records is how they are written, read and looked for.
var records = Set{Name: "records", Cases: []Case{
	{Name: "produce to what there is and what there is not", Ask: produceSomewhere},
	{Name: "produce with strange acks", Ask: func(t *Talk) {
		t.led("acks", 1)
		for _, acks := range []int16{1, 2, -2} {
			q := produce("acks", 0, "", plain(1).batch())
			q.Acks = acks
			t.Ask(12, q)
		}
		t.Note("without an answer: the connection tells")
		for _, topic := range []string{"acks", "acks-absent"} {
			q := produce(topic, 0, "", plain(1).batch())
			q.Acks = 0
			t.On("silent").Send(12, q)
			t.On("silent").Silent(300 * time.Millisecond)
		}
		t.Ask(7, offsets("acks", -1))
	}},
	{Name: "produce batches that say strange things", Ask: produceStrange},
	{Name: "produce batches that are damaged", Ask: produceDamaged},
	{
		Name: "produce compressed batches that cannot be decompressed", Mask: []string{"LogStartOffset"}, Ask: produceGarbage,
		Differs: "compressed batches are not looked into, and a codec that does not exist is INVALID_RECORD, not UNKNOWN_SERVER_ERROR",
	},
	{Name: "produce with each codec", Ask: produceCompressed},
	{Name: "produce what is too large", Ask: func(t *Talk) {
		t.led("large", 1, "max.message.bytes=1000")
		for _, size := range []int{2000, 900} {
			p := plain(1)
			p.size = size
			t.Ask(12, produce("large", 0, "", p.batch()))
		}
	}},
	{Name: "produce at wrong times and without keys", Ask: produceRefused},
	{Name: "produce at any time", Ask: func(t *Talk) {
		t.led("times", 1)
		t.led("recent", 1, "message.timestamp.before.max.ms=3600000")
		t.led("stamped", 1, "message.timestamp.type=LogAppendTime")
		for _, at := range []int64{-1, -2, 1} {
			p := plain(1)
			p.time = at
			t.Ask(12, produce("times", 0, "", p.batch()))
		}
		p := plain(1)
		p.time = -1
		t.Ask(12, produce("recent", 0, "", p.batch()))
	}},
	{Name: "an idempotent producer", Ask: idempotent},
	{Name: "fetch by offset", Mask: []string{"AbortedTransactions"}, Ask: fetchByOffset},
	{Name: "fetch in sessions", Ask: fetchSessions},
	{Name: "offsets by time", Ask: offsetsByTime},
	{Name: "where epochs end", Ask: func(t *Talk) {
		t.led("epochs", 1)
		t.Quietly(func() { t.Ask(9, produce("epochs", 0, "", plain(4).batch())) })
		for _, current := range []int32{-1, 0, 1} {
			for _, epoch := range []int32{-1, 0, 1} {
				q := kmsg.NewPtrOffsetForLeaderEpochRequest()
				q.ReplicaID = -1
				q.Topics = []kmsg.OffsetForLeaderEpochRequestTopic{{Topic: "epochs", Partitions: []kmsg.OffsetForLeaderEpochRequestTopicPartition{
					{CurrentLeaderEpoch: current, LeaderEpoch: epoch}, {Partition: 7, CurrentLeaderEpoch: current, LeaderEpoch: epoch},
				}}}
				t.AskAt(q, 2, 4)
			}
			f := fetch("epochs", 0, 1)
			f.Topics[0].Partitions[0].CurrentLeaderEpoch = current
			t.Ask(12, f)
		}
	}},
}}

func produceSomewhere(t *Talk) {
	id := t.led("plain", 2)
	for v := int16(3); v <= 12; v++ {
		t.Ask(v, produce("plain", 0, "", plain(2).batch()))
	}
	for _, partition := range []int32{7, -1} {
		t.Ask(12, produce("plain", partition, "", plain(1).batch()))
	}
	for _, topic := range []string{"absent", "", "a/b"} {
		t.Ask(12, produce(topic, 0, "", plain(1).batch()))
	}
	q := produce("", 0, "", plain(1).batch())
	for _, id := range [][16]byte{id, {1, 2, 3}, {}} {
		q.Topics[0].TopicID = id
		t.Ask(13, q)
	}
	q = produce("plain", 0, "", plain(1).batch())
	q.Topics = append(q.Topics, produce("absent", 0, "", plain(1).batch()).Topics...)
	t.Ask(12, q)
	q.Topics = nil
	t.Ask(12, q)
	t.coordinator(0, "plain")
	t.Ask(12, produce("__consumer_offsets", 0, "", plain(1).batch()))
}

// produceStrange sends batches that hold together and are refused, or are taken all the same.
func produceStrange(t *Talk) {
	t.led("strange", 1)
	try := func(what string, records []byte) {
		t.Note("%s", what)
		t.AskAt(produce("strange", 0, "", records), 7)
	}
	try("base offset 77", func() []byte { b := plain(2).batch(); b[7] = 77; return b }())
	try("base offset -1", func() []byte { b := plain(2).batch(); binary.BigEndian.PutUint64(b, math.MaxUint64); return b }())
	try("last offset delta 5", spoiled(atLastDelta, 0, 0, 0, 5))
	try("last offset delta 0", spoiled(atLastDelta, 0, 0, 0, 0))
	try("one record, says the head", spoiled(atCount, 0, 0, 0, 1))
	try("three records, says the head", spoiled(atCount, 0, 0, 0, 3))
	try("no records, says the head", spoiled(atCount, 0, 0, 0, 0))
	try("fewer than no records", spoiled(atCount, 255, 255, 255, 255))
	try("two batches", append(plain(1).batch(), plain(1).batch()...))
	try("a control batch", spoiled(atAttributes, 0x20))
	try("a transactional batch of nobody", spoiled(atAttributes, 0x10))
	try("marked as of the time of the log", spoiled(atAttributes, 0x08))
	try("an attribute that nobody knows", spoiled(atAttributes, 0x80))
	try("a record that is too long", spoiled(headSize, 200))
	empty := plain(1).batch()[:headSize]
	binary.BigEndian.PutUint32(empty[8:], headSize-12)
	binary.BigEndian.PutUint32(empty[atCount:], 0)
	try("a head without records", sealed(empty))
	t.Ask(7, offsets("strange", -1))
}

func produceDamaged(t *Talk) {
	t.led("damaged", 1)
	try := func(what string, records []byte) {
		t.Note("%s", what)
		t.Ask(7, produce("damaged", 0, "", records))
	}
	whole := plain(2).batch()
	try("no bytes", []byte{})
	try("ten bytes", make([]byte, 10))
	try("cut short", whole[:len(whole)-3])
	wrong := plain(2).batch()
	wrong[atCRC]++
	try("a wrong CRC", wrong)
	wrong = plain(2).batch()
	wrong[atMagic] = 3
	try("magic 3", wrong)
	t.Ask(7, offsets("damaged", -1))
}

func produceGarbage(t *Talk) {
	t.led("garbage", 1)
	for codec := byte(1); codec <= 7; codec++ {
		t.Ask(7, produce("garbage", 0, "", spoiled(atAttributes, codec)))
	}
}

func produceCompressed(t *Talk) {
	for _, setting := range []string{"producer", "gzip", "uncompressed"} {
		topic := "codecs-" + setting
		t.led(topic, 1, "compression.type="+setting)
		for c := batch.None; c <= batch.Zstd; c++ {
			p := plain(2)
			p.codec = c
			t.Note("%s", c)
			t.AskAt(produce(topic, 0, "", p.batch()), 6, 7, 12)
		}
	}
}

func produceRefused(t *Talk) {
	t.led("hour", 1, "message.timestamp.after.max.ms=3600000", "message.timestamp.before.max.ms=3600000")
	t.led("compacted", 1, "cleanup.policy=compact")
	for _, away := range []time.Duration{24 * time.Hour, -24 * time.Hour} {
		p := plain(1)
		p.time = time.Now().Add(away).UnixMilli()
		t.AskAt(produce("hour", 0, "", p.batch()), 7, 12)
	}
	p := plain(1)
	p.keyless = true
	t.AskAt(produce("compacted", 0, "", p.batch()), 7, 12)
}

func idempotent(t *Talk) {
	t.led("idempotent", 1)
	id := t.producer("")
	send := func(epoch int16, sequence int32, records int) {
		t.Ask(12, produce("idempotent", 0, "", parcel{records: records, producer: id, epoch: epoch, sequence: sequence}.batch()))
	}
	send(0, 5, 2)
	send(0, 7, 2)
	t.Note("again")
	send(0, 7, 2)
	t.Note("a gap, and what overlaps")
	send(0, 12, 1)
	send(0, 3, 1)
	send(0, 8, 2)
	t.Note("older than the last five")
	for i := range int32(6) {
		send(0, 9+i, 1)
	}
	send(0, 7, 2)
	send(0, 10, 1)
	t.Note("epochs")
	send(1, 3, 1)
	send(1, 0, 1)
	send(0, 15, 1)
	send(5, 0, 2)
	send(5, 0, 1)
	send(5, -1, 1)
	t.Note("where sequences begin anew")
	id++
	send(0, math.MaxInt32-2, 3)
	send(0, 0, 3)
	id++
	send(0, math.MaxInt32-1, 3)
	send(0, 1, 3)
	t.Ask(12, produce("idempotent", 0, "", parcel{records: 1, producer: id, sequence: 4, transactional: true}.batch()))
	t.Ask(12, produce("idempotent", 0, "strangers", parcel{records: 1, producer: id, sequence: 4, transactional: true}.batch()))
	t.Ask(0, &kmsg.DescribeProducersRequest{Topics: []kmsg.DescribeProducersRequestTopic{
		{Topic: "idempotent", Partitions: []int32{0, 1}}, {Topic: "absent", Partitions: []int32{0}}, {Topic: "a/b", Partitions: []int32{0}},
	}})
	t.Ask(12, fetch("idempotent", 0, 0))
}

// producer is a new producer id; transactional may be empty.
func (t *Talk) producer(transactional string) int64 {
	q := kmsg.NewPtrInitProducerIDRequest()
	q.TransactionTimeoutMillis, q.ProducerID, q.ProducerEpoch = 60000, -1, -1
	if transactional != "" {
		q.TransactionalID = &transactional
	}
	a := t.Until(4, q, func(a kmsg.Response) bool {
		return a.(*kmsg.InitProducerIDResponse).ErrorCode == 0 //nolint:forcetypeassert // the answer to InitProducerId
	})
	return a.(*kmsg.InitProducerIDResponse).ProducerID //nolint:forcetypeassert // likewise
}

func fetchByOffset(t *Talk) {
	id := t.led("read", 1)
	t.AskAt(fetch("read", 0, 0), 4, 12)
	t.Ask(12, fetch("read", 0, 1))
	t.Quietly(func() {
		for range 5 {
			t.Ask(9, produce("read", 0, "", plain(2).batch()))
		}
	})
	for _, offset := range []int64{3, 10, 11, -1, math.MaxInt64} {
		q := fetch("read", 0, offset)
		t.AskAt(q, 4, 12)
		q.IsolationLevel = 1
		t.Ask(12, q)
	}
	q := fetch("", 0, 3)
	q.Topics[0].TopicID = id
	t.AskAt(q, 13, 17)
	q.Topics[0].TopicID = [16]byte{1}
	t.Ask(13, q)
	t.Ask(12, fetch("absent", 0, 0))
	t.Ask(12, fetch("read", 5, 0))
	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "read", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 4}}}}
	t.Ask(2, cut)
	t.Ask(12, fetch("read", 0, 3))
	t.Ask(12, fetch("read", 0, 4))
}

func fetchSessions(t *Talk) {
	t.led("session", 2)
	t.Quietly(func() { t.Ask(9, produce("session", 0, "", plain(2).batch())) })
	q := fetch("session", 0, 2)
	q.SessionEpoch = 0
	a := t.Ask(12, q)
	q.SessionID = a.(*kmsg.FetchResponse).SessionID //nolint:forcetypeassert // the answer to Fetch
	partitions := q.Topics
	next := func(epoch int32, topics []kmsg.FetchRequestTopic, forgotten ...kmsg.FetchRequestForgottenTopic) {
		q.SessionEpoch, q.Topics, q.ForgottenTopics = epoch, topics, forgotten
		t.Ask(12, q)
	}
	next(1, nil)
	t.Note("an epoch twice, and one too far")
	next(1, nil)
	next(9, nil)
	t.Quietly(func() { t.Ask(9, produce("session", 0, "", plain(1).batch())) })
	next(2, nil)
	partitions[0].Partitions[0].FetchOffset = 3
	next(3, partitions)
	next(4, nil, kmsg.FetchRequestForgottenTopic{Topic: "session", Partitions: []int32{0, 1}}, kmsg.FetchRequestForgottenTopic{Topic: "other", Partitions: []int32{0}})
	t.Quietly(func() { t.Ask(9, produce("session", 0, "", plain(1).batch())) })
	next(5, nil)
	next(-1, nil)
	next(6, nil)
	t.Note("none of ours")
	q.SessionID++
	next(1, nil)
	next(-1, nil)
	q.SessionID = 0
	next(5, nil)
}

func offsetsByTime(t *Talk) {
	t.led("times-of-offsets", 1, "retention.ms=-1")
	moments := []int64{-1, -2, -3, -4, -5, -6, -7, 0}
	for _, at := range moments {
		t.AskAt(offsets("times-of-offsets", at), 1, 7, 10, 11)
	}
	for i, at := range []int64{0, 1000, 9000, 3000} {
		p := plain(2)
		p.time = 1700000000000 + at
		if i == 1 {
			p.codec = batch.Gzip
		}
		t.Quietly(func() { t.Ask(9, produce("times-of-offsets", 0, "", p.batch())) })
	}
	for _, at := range append(moments, 1700000000000, 1700000000001, 1700000000002, 1700000001001, 1700000003000, 1700000009001, 1700000009002) {
		q := offsets("times-of-offsets", at)
		t.AskAt(q, 1, 7, 11)
		q.IsolationLevel = 1
		t.Ask(7, q)
	}
	t.Ask(7, offsets("absent", -1))
	cut := kmsg.NewPtrDeleteRecordsRequest()
	cut.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: "times-of-offsets", Partitions: []kmsg.DeleteRecordsRequestTopicPartition{{Offset: 5}}}}
	t.Ask(2, cut)
	for _, at := range []int64{-1, -2, 0, 1700000003000, 1700000009001} {
		t.Ask(7, offsets("times-of-offsets", at))
	}
}
