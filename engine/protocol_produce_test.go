package engine

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/batch"
)

// changed is a good batch after somebody changed it; its CRC is made to hold again.
func changed(change func(b []byte)) []byte {
	b := records("one", "two")
	change(b)
	binary.BigEndian.PutUint32(b[17:], crc32.Checksum(b[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b
}

// Fields of a record batch, by their place.
const (
	placeLength    = 8
	placeMagic     = 16
	placeCRC       = 17
	placeCodec     = 22
	placeLastDelta = 23
	placeProducer  = 43
	placeEpoch     = 51
	placeSequence  = 53
	placeCount     = 57
)

func put32(b []byte, place int, v int32) { binary.BigEndian.PutUint32(b[place:], uint32(v)) }

// broken are batches that no broker may take, and why.
func broken() map[string]struct {
	records []byte
	refused *kerr.Error
} {
	good := records("one", "two")
	type test = struct {
		records []byte
		refused *kerr.Error
	}
	return map[string]test{
		"no batch":                      {[]byte{}, kerr.InvalidRecord},
		"two batches":                   {append(records("one"), records("two")...), kerr.InvalidRecord},
		"magic 0":                       {changed(func(b []byte) { b[placeMagic] = 0 }), kerr.InvalidRecord},
		"magic 1":                       {changed(func(b []byte) { b[placeMagic] = 1 }), kerr.InvalidRecord},
		"magic 3":                       {changed(func(b []byte) { b[placeMagic] = 3 }), kerr.CorruptMessage},
		"cut in its header":             {good[:40], kerr.InvalidRecord},
		"cut in its records":            {good[:len(good)-1], kerr.InvalidRecord},
		"bytes behind it":               {append(records("one"), 1, 2, 3), kerr.InvalidRecord},
		"a length below its header":     {changed(func(b []byte) { put32(b, placeLength, 10) }), kerr.CorruptMessage},
		"a negative length":             {changed(func(b []byte) { put32(b, placeLength, -1) }), kerr.CorruptMessage},
		"a length beyond its bytes":     {changed(func(b []byte) { put32(b, placeLength, 1<<30) }), kerr.InvalidRecord},
		"a CRC that does not hold":      {crcBroken(), kerr.CorruptMessage},
		"a count too small":             {changed(func(b []byte) { put32(b, placeCount, 1) }), kerr.InvalidRecord},
		"a count too large":             {changed(func(b []byte) { put32(b, placeCount, 3) }), kerr.InvalidRecord},
		"count and last delta of three": {changed(func(b []byte) { put32(b, placeCount, 3); put32(b, placeLastDelta, 2) }), kerr.InvalidRecord},
		"count and last delta of one":   {changed(func(b []byte) { put32(b, placeCount, 1); put32(b, placeLastDelta, 0) }), kerr.InvalidRecord},
		"a negative count":              {changed(func(b []byte) { put32(b, placeCount, -1) }), kerr.InvalidRecord},
		"a negative last delta":         {changed(func(b []byte) { put32(b, placeLastDelta, -1) }), kerr.InvalidRecord},
		"no record":                     {changed(func(b []byte) { put32(b, placeCount, 0); put32(b, placeLastDelta, -1) }), kerr.InvalidRecord},
		"control records":               {changed(func(b []byte) { b[placeCodec] |= 0x20 }), kerr.InvalidRecord},
		"a producer without sequence": {changed(func(b []byte) {
			binary.BigEndian.PutUint64(b[placeProducer:], 7)
			binary.BigEndian.PutUint16(b[placeEpoch:], 0)
		}), kerr.InvalidRecord},
		"records that are none":        {changed(func(b []byte) { copy(b[batch.HeaderSize:], "\xff\xff\xff\xff\xff\xff") }), kerr.InvalidRecord},
		"a record longer than the end": {changed(func(b []byte) { b[batch.HeaderSize] = 0x7e }), kerr.InvalidRecord},
		"a codec that nobody knows":    {changed(func(b []byte) { b[placeCodec] |= 5 }), kerr.InvalidRecord},
		"a timestamp two hours ahead":  {recordsAt(time.Now().Add(2*time.Hour).UnixMilli(), batch.NoProducer(), "new"), kerr.InvalidTimestamp},
		"more than max.message.bytes":  {records(strings.Repeat("x", 1<<20)), kerr.MessageTooLarge},
	}
}

// crcBroken is a batch of which one bit changed on its way.
func crcBroken() []byte {
	b := records("one", "two")
	b[len(b)-1] ^= 1
	return b
}

func TestProduceRefusesBrokenBatches(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for name, test := range broken() {
		t.Run(name, func(t *testing.T) {
			if name == "bytes behind it" || name == "records that are none" || name == "a codec that nobody knows" {
				onlyOurs(t) // Kafka passes over the bytes, and has UNKNOWN_SERVER_ERROR for the others
			}
			one := p.another()
			one.t = t
			r := one.produce(9, s, 0, test.records)
			want(t, name, r.ErrorCode, test.refused)
			if r.BaseOffset != -1 || r.LogAppendTime != -1 {
				t.Errorf("offset %d, time %d, want −1", r.BaseOffset, r.LogAppendTime)
			}
			one.alive()
		})
	}
	if r := p.fetch(12, from(s, 0, 0)); r.HighWatermark != 0 {
		t.Fatalf("high watermark %d, nothing was to be taken", r.HighWatermark)
	}
}

func TestProduceTellsWhyFromVersion8On(t *testing.T) {
	onlyOurs(t) // Kafka does not say it for this
	p := dialed(t)
	s := p.topic(1)
	r := p.produce(8, s, 0, append(records("one"), records("two")...))
	want(t, "two batches", r.ErrorCode, kerr.InvalidRecord)
	if r.ErrorMessage == nil || *r.ErrorMessage == "" {
		t.Error("version 8 does not say why")
	}
}

func TestProduceNullRecords(t *testing.T) {
	onlyOurs(t) // Kafka closes the connection over it
	p := dialed(t)
	s := p.topic(1)
	want(t, "null records", p.produce(9, s, 0, nil).ErrorCode, kerr.InvalidRecord)
}

func TestProduceCodecs(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for codec := batch.None; codec <= batch.Zstd; codec++ {
		o := batch.NoProducer()
		o.Codec = codec
		sent := recordsAt(time.Now().UnixMilli(), o, "one", "two")
		offset := p.put(s, 0, sent)
		r := p.fetch(12, from(s, 0, offset))
		got := batches(t, r.RecordBatches)
		if len(got) != 1 || got[0].Codec() != codec || string(got[0][placeMagic:]) != string(sent[placeMagic:]) {
			t.Errorf("%s: the batch did not come back as it was sent", codec)
		}
	}
	o := batch.NoProducer()
	o.Codec = batch.Zstd
	zstd := recordsAt(time.Now().UnixMilli(), o, "one")
	want(t, "zstd in version 6", p.produce(6, s, 0, zstd).ErrorCode, kerr.UnsupportedCompressionType)
	want(t, "zstd in version 7", p.produce(7, s, 0, zstd).ErrorCode, nil)
}

func TestProduceToWhatIsNotThere(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	want(t, "unknown topic", p.produce(9, subject{name: unused(t)}, 0, records("one")).ErrorCode, kerr.UnknownTopicOrPartition)
	want(t, "unknown id", p.produce(13, subject{id: [16]byte{1}}, 0, records("one")).ErrorCode, kerr.UnknownTopicID)
	for _, partition := range []int32{1, -1} {
		want(t, "unknown partition", p.produce(9, s, partition, records("one")).ErrorCode, kerr.UnknownTopicOrPartition)
		want(t, "unknown partition by id", p.produce(13, s, partition, records("one")).ErrorCode, kerr.UnknownTopicOrPartition)
	}
}

// TestProduceAnswersEachPartition: what is wrong with one partition does not keep the
// others back, and answers come in the order of the request.
func TestProduceAnswersEachPartition(t *testing.T) {
	p := dialed(t)
	s, other := p.topic(3), p.topic(1)
	q := produceRequest(9, s, 0, -1, records("a"))
	for partition, r := range map[int32][]byte{1: crcBroken(), 2: records("b", "c"), 7: records("d")} {
		part := kmsg.NewProduceRequestTopicPartition()
		part.Partition, part.Records = partition, r
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, part)
	}
	q.Topics = append(q.Topics, produceRequest(9, other, 0, -1, records("e")).Topics...)
	a := ask[*kmsg.ProduceResponse](p, 9, q)
	codes := map[string]int16{}
	for _, topic := range a.Topics {
		for _, r := range topic.Partitions {
			codes[fmt.Sprintf("%s-%d", topic.Topic, r.Partition)] = r.ErrorCode
		}
	}
	for i, expected := range []*kerr.Error{0: nil, 1: kerr.CorruptMessage, 2: nil, 7: kerr.UnknownTopicOrPartition} {
		if code, ok := codes[fmt.Sprintf("%s-%d", s.name, i)]; ok {
			want(t, fmt.Sprintf("partition %d", i), code, expected)
		}
	}
	if len(codes) != 5 {
		t.Fatalf("answers %v", codes)
	}
	want(t, "other topic", codes[other.name+"-0"], nil)
	if got := values(t, p.fetch(12, from(s, 2, 0)).RecordBatches); len(got) != 2 || got[1] != "c" {
		t.Fatalf("partition 2 holds %q", got)
	}
}

func TestAcks(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	for _, acks := range []int16{1, -1} {
		a := ask[*kmsg.ProduceResponse](p, 9, produceRequest(9, s, 0, acks, records("asked")))
		want(t, "produce", a.Topics[0].Partitions[0].ErrorCode, nil)
	}
	for _, acks := range []int16{2, -2} {
		a := ask[*kmsg.ProduceResponse](p, 9, produceRequest(9, s, 0, acks, records("asked")))
		want(t, "produce", a.Topics[0].Partitions[0].ErrorCode, kerr.InvalidRequiredAcks)
	}
	p.send(9, produceRequest(9, s, 0, 0, records("silent")))
	q := from(s, 0, 2)
	q.MaxWaitMillis = int32(patience.Milliseconds())
	r := p.fetch(12, q) // is the next answer on this connection
	if got := values(t, r.RecordBatches); len(got) != 1 || got[0] != "silent" {
		t.Fatalf("what was sent with acks=0 reads as %q", got)
	}
}

// TestAcksZeroEndsTheConnectionOnFailure: there is no other way to say it, and a client
// that reconnects fetches its metadata again.
func TestAcksZeroEndsTheConnectionOnFailure(t *testing.T) {
	for name, spoil := range map[string]func(s *subject, raw *[]byte){
		"unknown topic": func(s *subject, _ *[]byte) { s.name = "nowhere" },
		"broken batch":  func(_ *subject, raw *[]byte) { *raw = crcBroken() },
	} {
		t.Run(name, func(t *testing.T) {
			p := dialed(t)
			s, raw := p.topic(1), records("one")
			spoil(&s, &raw)
			p.send(9, produceRequest(9, s, 0, 0, raw))
			p.ended()
			p.another().alive()
		})
	}
}

// sequenced is a batch of an idempotent producer.
func sequenced(producer int64, epoch int16, sequence int32, count int) []byte {
	o := batch.NoProducer()
	o.ProducerID, o.ProducerEpoch, o.BaseSequence = producer, epoch, sequence
	return recordsAt(time.Now().UnixMilli(), o, strings.Split(strings.Repeat("v,", count-1)+"v", ",")...)
}

func TestIdempotentProducer(t *testing.T) {
	p := dialed(t)
	s := p.topic(2)
	id, other := p.producer(4), p.producer(4)
	first := sequenced(id, 0, 0, 3)
	for _, step := range []struct {
		why      string
		sent     []byte
		offset   int64
		expected *kerr.Error
	}{
		{"the first", first, 0, nil},
		{"sent again: the original offset", first, 0, nil},
		{"the next", sequenced(id, 0, 3, 2), 3, nil},
		{"the first once more", first, 0, nil},
		{"a gap", sequenced(id, 0, 6, 1), -1, kerr.OutOfOrderSequenceNumber},
		{"overlaps", sequenced(id, 0, 4, 2), -1, kerr.OutOfOrderSequenceNumber},
		{"goes on after the refusals", sequenced(id, 0, 5, 1), 5, nil},
		{"four more", sequenced(id, 0, 6, 1), 6, nil},
		{"three", sequenced(id, 0, 7, 1), 7, nil},
		{"two", sequenced(id, 0, 8, 1), 8, nil},
		{"the first is five batches ago: kept no more", first, -1, kerr.OutOfOrderSequenceNumber},
		{"the second still is not", sequenced(id, 0, 5, 1), 5, nil},
		{"a new epoch begins at 0", sequenced(id, 1, 9, 1), -1, kerr.OutOfOrderSequenceNumber},
		{"a new epoch", sequenced(id, 1, 0, 1), 9, nil},
		{"the old epoch is fenced", sequenced(id, 0, 9, 1), -1, kerr.InvalidProducerEpoch},
		{"another producer that nobody knows may begin anywhere", sequenced(other, 0, 100, 1), 10, nil},
	} {
		r := p.produce(9, s, 0, step.sent)
		want(t, step.why, r.ErrorCode, step.expected)
		if r.BaseOffset != step.offset {
			t.Fatalf("%s: offset %d, want %d", step.why, r.BaseOffset, step.offset)
		}
	}
	if r := p.produce(9, s, 1, first); r.ErrorCode != 0 || r.BaseOffset != 0 {
		t.Fatalf("another partition is on its own: %+v", r)
	}
	if r := p.produce(9, s, 0, sequenced(other, 0, 1<<31-2, 2)); r.ErrorCode != kerr.OutOfOrderSequenceNumber.Code {
		t.Fatalf("%+v", r)
	}
}

func TestSequencesWrap(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	id := p.producer(4)
	last := sequenced(id, 0, 1<<31-2, 2)
	for i, sent := range [][]byte{last, sequenced(id, 0, 0, 2), last, sequenced(id, 0, 2, 1)} {
		r := p.produce(9, s, 0, sent)
		want(t, "produce", r.ErrorCode, nil)
		if expected := []int64{0, 2, 0, 4}[i]; r.BaseOffset != expected {
			t.Fatalf("batch %d went to %d, want %d", i, r.BaseOffset, expected)
		}
	}
	across := sequenced(p.producer(4), 0, 1<<31-1, 3) // the sequence wraps inside the batch
	for range 2 {
		if r := p.produce(9, s, 0, across); r.ErrorCode != 0 || r.BaseOffset != 5 {
			t.Fatalf("%+v", r)
		}
	}
}

// TestPipelinedDuplicates: a client with five requests in flight sends some of them again
// before the first answer.
func TestPipelinedDuplicates(t *testing.T) {
	p := dialed(t)
	s := p.topic(1)
	id := p.producer(4)
	order := []int32{0, 1, 2, 0, 1, 3, 2, 4, 3}
	var raw []byte
	for _, sequence := range order {
		raw = append(raw, p.request(9, produceRequest(9, s, 0, -1, sequenced(id, 0, sequence, 1)))...)
	}
	p.write(raw)
	for i, sequence := range order {
		a := expect[*kmsg.ProduceResponse](p, 9, kmsg.NewPtrProduceRequest(), p.last-int32(len(order)-1-i))
		if r := a.Topics[0].Partitions[0]; r.ErrorCode != 0 || r.BaseOffset != int64(sequence) {
			t.Fatalf("answer %d, to sequence %d: %s, offset %d", i, sequence, errorName(r.ErrorCode), r.BaseOffset)
		}
	}
}

func TestTimestampBounds(t *testing.T) {
	p := dialed(t)
	now := time.Now().UnixMilli()
	at := func(millis int64) []byte { return recordsAt(millis, batch.NoProducer(), "one") }
	s := p.topic(1)
	want(t, "no timestamp", p.produce(9, s, 0, at(-1)).ErrorCode, nil)
	want(t, "before 1970", p.produce(9, s, 0, at(-5)).ErrorCode, nil)
	want(t, "1970", p.produce(9, s, 0, at(0)).ErrorCode, nil)
	want(t, "59 minutes ahead", p.produce(9, s, 0, at(now+59*60_000)).ErrorCode, nil)
	want(t, "61 minutes ahead", p.produce(9, s, 0, at(now+61*60_000)).ErrorCode, kerr.InvalidTimestamp)
	bounded := p.topic(1, "message.timestamp.before.max.ms", "60000", "message.timestamp.after.max.ms", "1000")
	want(t, "two minutes ago", p.produce(9, bounded, 0, at(now-120_000)).ErrorCode, kerr.InvalidTimestamp)
	want(t, "half a minute ago", p.produce(9, bounded, 0, at(now-30_000)).ErrorCode, nil)
	want(t, "a minute ahead", p.produce(9, bounded, 0, at(now+60_000)).ErrorCode, kerr.InvalidTimestamp)
}

func TestLogAppendTime(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "message.timestamp.type", "LogAppendTime")
	before := time.Now().UnixMilli()
	// Timestamps that CreateTime would refuse do not matter.
	for i, millis := range []int64{0, before + 3*3600_000} {
		r := p.produce(9, s, 0, recordsAt(millis, batch.NoProducer(), "one", "two"))
		want(t, "produce", r.ErrorCode, nil)
		if after := time.Now().UnixMilli(); r.LogAppendTime < before || r.LogAppendTime > after {
			t.Fatalf("log append time %d, want %d to %d", r.LogAppendTime, before, after)
		}
		b := batches(t, p.fetch(12, from(s, 0, r.BaseOffset)).RecordBatches)[0]
		if !b.LogAppendTime() || b.MaxTimestamp() != r.LogAppendTime {
			t.Fatalf("batch %d: log append time %v, timestamp %d, answered %d", i, b.LogAppendTime(), b.MaxTimestamp(), r.LogAppendTime)
		}
	}
	if r := p.offsetAt(7, s, 0, before, -1); r.Offset != 0 {
		t.Fatalf("the time finds %+v", r)
	}
}

func TestMaxMessageBytes(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "max.message.bytes", "1000")
	fits := records(strings.Repeat("x", 1000-len(records(strings.Repeat("x", 500)))+500))
	if len(fits) != 1000 {
		t.Fatalf("the test's batch has %d bytes", len(fits))
	}
	want(t, "1000 bytes", p.produce(9, s, 0, fits).ErrorCode, nil)
	want(t, "more", p.produce(9, s, 0, records(strings.Repeat("x", 1000))).ErrorCode, kerr.MessageTooLarge)
	o := batch.NoProducer()
	o.Codec = batch.Gzip
	want(t, "less once compressed", p.produce(9, s, 0, recordsAt(time.Now().UnixMilli(), o, strings.Repeat("x", 10_000))).ErrorCode, nil)
}

func TestCompactedTopicsWantKeys(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "cleanup.policy", "compact")
	var b batch.Builder
	b.Append(time.Now().UnixMilli(), nil, []byte("keyless"), nil)
	for _, codec := range []batch.Codec{batch.None, batch.Zstd} {
		o := batch.NoProducer()
		o.Codec = codec
		keyless, err := b.Finish(o)
		if err != nil {
			t.Fatal(err)
		}
		want(t, "no key, "+codec.String(), p.produce(9, s, 0, keyless).ErrorCode, kerr.InvalidRecord)
	}
	want(t, "key", p.produce(9, s, 0, records("one")).ErrorCode, nil)
}

// TestRefusedRecordsAreNamed: of a batch of which some records are wrong a producer gives up only those (KIP-467).
func TestRefusedRecordsAreNamed(t *testing.T) {
	p := dialed(t)
	now := time.Now().UnixMilli()
	for _, test := range []struct {
		setting, value string
		err            *kerr.Error
		wrong          func(b *batch.Builder)
	}{
		{"cleanup.policy", "compact", kerr.InvalidRecord, func(b *batch.Builder) { b.Append(now, nil, []byte("keyless"), nil) }},
		{"message.timestamp.after.max.ms", "3600000", kerr.InvalidTimestamp, func(b *batch.Builder) { b.Append(now+7200_000, []byte("k"), nil, nil) }},
		{"message.timestamp.before.max.ms", "3600000", kerr.InvalidTimestamp, func(b *batch.Builder) { b.Append(now-7200_000, []byte("k"), nil, nil) }},
	} {
		s := p.topic(1, test.setting, test.value)
		for _, codec := range []batch.Codec{batch.None, batch.Zstd} {
			var b batch.Builder
			for i := range 5 {
				if i == 0 || i == 3 {
					test.wrong(&b)
				} else {
					b.Append(now, []byte("key"), []byte("value"), nil)
				}
			}
			o := batch.NoProducer()
			o.Codec = codec
			sent, err := b.Finish(o)
			if err != nil {
				t.Fatal(err)
			}
			for _, version := range []int16{8, 9, 12} {
				r := p.produce(version, s, 0, sent)
				want(t, test.setting, r.ErrorCode, test.err)
				if said := fmt.Sprintf("Compacted topic cannot accept message without key in topic partition %s-0", s.name); test.err == kerr.InvalidRecord && *r.ErrorRecords[0].ErrorMessage != said {
					t.Errorf("%s, want %s", *r.ErrorRecords[0].ErrorMessage, said)
				}
				if len(r.ErrorRecords) != 2 || r.ErrorRecords[0].RelativeOffset != 0 || r.ErrorRecords[1].RelativeOffset != 3 || *r.ErrorRecords[1].ErrorMessage == "" || r.ErrorMessage == nil {
					t.Errorf("%s, %s, version %d: %+v", test.setting, codec, version, r)
				}
			}
			if r := p.produce(7, s, 0, sent); len(r.ErrorRecords) != 0 {
				t.Errorf("%s, version 7: %+v", test.setting, r)
			}
		}
	}
}

// TestManyRefusedBatchesAreNamedSparingly: a request that names one partition again and again is answered in
// proportion to what it sent, however many refused records expand from nothing in it.
func TestManyRefusedBatchesAreNamedSparingly(t *testing.T) {
	onlyOurs(t)
	p := dialed(t)
	s := p.topic(1, "cleanup.policy", "compact")
	const most, times = 1000, 500
	keyless := func(count int) []byte {
		var b batch.Builder
		for range count {
			b.Append(time.Now().UnixMilli(), nil, nil, nil)
		}
		o := batch.NoProducer()
		o.Codec = batch.Zstd
		built, err := b.Finish(o)
		if err != nil {
			t.Fatal(err)
		}
		return built
	}
	q := produceRequest(9, s, 0, -1, keyless(1000))
	for range times - 1 {
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, q.Topics[0].Partitions[0])
	}
	p.send(9, q)
	body, err := p.receive()
	if err != nil {
		t.Fatal(err)
	}
	if len(body) > 1<<20 {
		t.Errorf("%d bytes answer a request of %d", len(body), len(p.request(9, q)))
		p.last--
	}
	named := 0
	for i, r := range decode[*kmsg.ProduceResponse](t, body, 9, q, p.last).Topics[0].Partitions {
		want(t, fmt.Sprintf("batch %d", i), r.ErrorCode, kerr.InvalidRecord)
		named += len(r.ErrorRecords)
	}
	if named != most {
		t.Errorf("%d records are named", named)
	}
	for _, count := range []int{most, most + 234} {
		r := p.produce(9, s, 0, keyless(count))
		if said := fmt.Sprintf("due to %d record errors in total", count); len(r.ErrorRecords) != most || r.ErrorMessage == nil || !strings.Contains(*r.ErrorMessage, said) {
			t.Errorf("of %d refused records %d are named, and the batch is refused for %v", count, len(r.ErrorRecords), r.ErrorMessage)
		}
	}
	unread := produceRequest(9, s, 0, 0, keyless(most))
	p.send(9, unread)
	p.ended()
}

// TestBrokerSideCompression: with compression.type other than producer, batches are
// stored with that codec, whatever they come with.
func TestBrokerSideCompression(t *testing.T) {
	p := dialed(t)
	text := strings.Repeat("compress me ", 100)
	for _, stored := range []struct {
		name  string
		codec batch.Codec
	}{{"gzip", batch.Gzip}, {"snappy", batch.Snappy}, {"lz4", batch.LZ4}, {"zstd", batch.Zstd}, {"uncompressed", batch.None}} {
		s := p.topic(1, "compression.type", stored.name)
		id := p.producer(4)
		for sequence, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
			o := batch.NoProducer()
			o.Codec, o.ProducerID, o.ProducerEpoch, o.BaseSequence = codec, id, 0, int32(sequence)*2
			sent := recordsAt(1_600_000_000_000, o, text, "two")
			for range 2 { // the second is a duplicate, recompressed or not
				r := p.produce(9, s, 0, sent)
				want(t, codec.String()+" to "+stored.name, r.ErrorCode, nil)
				if r.BaseOffset != int64(sequence)*2 {
					t.Fatalf("%s to %s: offset %d", codec, stored.name, r.BaseOffset)
				}
			}
			got := batches(t, p.fetch(12, from(s, 0, int64(sequence)*2)).RecordBatches)
			if len(got) != 1 || got[0].Codec() != stored.codec {
				t.Fatalf("%s to %s: stored as %s in %d batches", codec, stored.name, got[0].Codec(), len(got))
			}
			if v := values(t, got[0]); len(v) != 2 || v[0] != text || got[0].ProducerID() != id || got[0].BaseSequence() != int32(sequence)*2 || got[0].BaseTimestamp() != 1_600_000_000_000 || got[0].MaxTimestamp() != 1_600_000_000_001 {
				t.Fatalf("%s to %s: records or header changed", codec, stored.name)
			}
		}
	}
}

func TestBrokerSideCompressionWithLogAppendTime(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "compression.type", "zstd", "message.timestamp.type", "LogAppendTime")
	r := p.produce(9, s, 0, recordsAt(5, batch.NoProducer(), "one", "two"))
	want(t, "produce", r.ErrorCode, nil)
	b := batches(t, p.fetch(12, from(s, 0, 0)).RecordBatches)[0]
	if b.Codec() != batch.Zstd || !b.LogAppendTime() || b.MaxTimestamp() != r.LogAppendTime {
		t.Fatalf("codec %s, log append time %v, timestamp %d, answered %d", b.Codec(), b.LogAppendTime(), b.MaxTimestamp(), r.LogAppendTime)
	}
}

func TestBrokerSideCompressionOfRubbish(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "compression.type", "gzip")
	rubbish := changed(func(b []byte) { b[placeCodec] |= byte(batch.Zstd) }) // its records are not compressed at all
	if code := p.produce(9, s, 0, rubbish).ErrorCode; code != kerr.CorruptMessage.Code && code != kerr.InvalidRecord.Code && code != kerr.UnknownServerError.Code {
		t.Fatalf("rubbish is answered with %s", errorName(code))
	}
	bomb := batch.NoProducer()
	bomb.Codec = batch.Snappy
	want(t, "more than max.message.bytes once the codec is weaker",
		p.produce(9, p.topic(1, "compression.type", "uncompressed", "max.message.bytes", "2000"), 0, recordsAt(0, bomb, strings.Repeat("x", 4000))).ErrorCode, kerr.MessageTooLarge)
	want(t, "less than that once it is stronger",
		p.produce(9, s, 0, recordsAt(0, bomb, strings.Repeat("x", 4000))).ErrorCode, nil)
}
