package engine

import (
	"fmt"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/engine/commitlog"
	"github.com/millrace/millrace/sdk/batch"
)

const (
	bombSize = 64 << 20
	// bombMemory is what a request with a bomb in it may take from the heap: windows and
	// tables of coders, the batch itself a few times, but never its records.
	bombMemory = 32 << 20
)

var bombCodecs = []batch.Codec{batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}

// bomb is a batch of many zeros, the last record of which has a later timestamp.
func bomb(c batch.Codec) []byte {
	o := batch.NoProducer()
	o.Codec = c
	return recordsAt(1_700_000_000_000, o, strings.Repeat("\x00", bombSize), "last")
}

// frugal fails if f takes more memory from the heap than a bomb may.
func frugal(t *testing.T, what string, f func()) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	// The race detector makes pools forget on purpose.
	if n := after.TotalAlloc - before.TotalAlloc; n > bombMemory && !raceEnabled {
		t.Errorf("%s: %d MiB were taken from the heap for a batch of %d MiB", what, n>>20, bombSize>>20)
	}
}

// TestBombs sends batches that become a thousand times as large on every way that looks
// into them. They are taken, as Kafka takes them, and never held.
func TestBombs(t *testing.T) {
	onlyOurs(t)
	folder := t.TempDir()
	b, err := begin(folder, "message.max.bytes=8388608")
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	plain := p.topic(1)
	compacted := p.topic(1, "cleanup.policy", "compact")
	packed := p.topic(1, "compression.type", "zstd")
	weaker := p.topic(1, "compression.type", "uncompressed")
	both := p.topic(1, "compression.type", "lz4", "cleanup.policy", "compact")
	for i, c := range bombCodecs {
		sent := bomb(c)
		taken := func(what string, s subject, expected *kerr.Error) {
			t.Helper()
			frugal(t, what+" "+c.String(), func() { want(t, what+" "+c.String(), p.produce(9, s, 0, sent).ErrorCode, expected) })
		}
		taken("passed through", plain, nil)
		taken("looked through for keys", compacted, nil)
		taken("compressed again", packed, nil)
		taken("compressed again and with keys", both, nil)
		taken("stored uncompressed", weaker, kerr.MessageTooLarge)
		frugal(t, "looked up by time in "+c.String(), func() {
			if r := p.offsetAt(7, plain, 0, 1_700_000_000_001, anyEpoch); r.ErrorCode != 0 || r.Offset != 1 {
				t.Errorf("%s: by time: %+v", c, r)
			}
			if r := p.offsetAt(7, packed, 0, -3, anyEpoch); r.ErrorCode != 0 || r.Offset != 1 {
				t.Errorf("%s: largest time: %+v", c, r)
			}
		})
		if got := batches(t, p.fetch(12, from(packed, 0, int64(2*i))).RecordBatches); got[0].Codec() != batch.Zstd || got[0].Count() != 2 {
			t.Errorf("%s is stored with %s", c, got[0].Codec())
		}
	}
	if used := b.memory.Used(); used != 0 {
		t.Errorf("%d bytes of decompressed records were not given back", used)
	}
	stop(t, b)
	frugal(t, "verify", func() {
		if err := commitlog.Verify(diskio.OS, filepath.Join(folder, plain.name+"-0"), func(p commitlog.Problem) { t.Error(p) }); err != nil {
			t.Error(err)
		}
	})
}

// TestRawSnappyIsBorrowed: one block of snappy must be held whole, for which there is a
// budget. What is larger than all of it is refused.
func TestRawSnappyIsBorrowed(t *testing.T) {
	onlyOurs(t)
	b := start(t, t.TempDir(), "decompression.buffer.bytes=4194304")
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "compression.type", "lz4")
	for size, expected := range map[int]*kerr.Error{1 << 20: nil, 5 << 20: kerr.InvalidRecord} {
		r := p.produce(9, s, 0, rawSnappy(strings.Repeat("\x00", size)))
		want(t, fmt.Sprintf("%d MiB", size>>20), r.ErrorCode, expected)
		if text := ""; r.ErrorMessage != nil {
			if text = *r.ErrorMessage; !strings.Contains(text, "decompression.buffer.bytes") {
				t.Errorf("the answer does not name the setting: %q", text)
			}
		}
	}
	if used := b.memory.Used(); used != 0 {
		t.Errorf("%d bytes were not given back", used)
	}
}

// rawSnappy is a batch whose records are one block, as C clients send it.
func rawSnappy(value string) []byte {
	plain := recordsAt(1_700_000_000_000, batch.NoProducer(), value)
	block := s2.EncodeSnappy(nil, plain[batch.HeaderSize:])
	return changedTo(plain[:batch.HeaderSize], batch.Snappy, block)
}

// changedTo puts other records behind a header.
func changedTo(header []byte, c batch.Codec, records []byte) []byte {
	out := append(append([]byte(nil), header...), records...)
	put32(out, 8, int32(len(out)-12))
	out[placeCodec] |= byte(c)
	b := batch.Batch(out)
	b.Restamp(b.BaseTimestamp()) // seals it
	return out
}

// TestBatchesKeepTheirOrder: a batch that takes long to look into is not overtaken by one
// that does not, on the same connection, nor is its answer.
func TestBatchesKeepTheirOrder(t *testing.T) {
	p := dialed(t)
	s := p.topic(1, "compression.type", "lz4")
	id := p.producer(4)
	const rounds = 5
	var all []byte
	var sent []int32
	sequence := int32(0)
	for range rounds {
		for _, o := range []batch.BatchOptions{{Codec: batch.Gzip}, {Codec: batch.LZ4}, {Codec: batch.None}, {Codec: batch.LZ4}} {
			o.LeaderEpoch, o.ProducerID, o.BaseSequence = -1, id, sequence
			value := "small"
			if o.Codec == batch.Gzip {
				value = strings.Repeat("large", 1<<20)
			}
			all = append(all, p.request(9, produceRequest(9, s, 0, -1, recordsAt(time.Now().UnixMilli(), o, value)))...)
			sent = append(sent, p.last)
			sequence++
		}
	}
	p.write(all)
	for i, correlation := range sent {
		r := expect[*kmsg.ProduceResponse](p, 9, produceRequest(9, s, 0, -1, nil), correlation).Topics[0].Partitions[0]
		want(t, fmt.Sprintf("batch %d", i), r.ErrorCode, nil)
		if r.BaseOffset != int64(i) {
			t.Fatalf("batch %d is at offset %d", i, r.BaseOffset)
		}
	}
}

// TestOthersAreServedBesideBombs: loops and shards do not decompress, so that those who
// share them are answered meanwhile.
func TestOthersAreServedBesideBombs(t *testing.T) {
	p := dialed(t, "num.network.threads=1", "num.io.threads=1")
	s, others := p.topic(1, "compression.type", "lz4"), p.topic(1)
	other := p.another()
	other.put(others, 0, records("warm"))
	sent := recordsAt(0, batch.BatchOptions{Codec: batch.Gzip, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, strings.Repeat("\x00", bombSize/4))
	const bombs = 8
	q := produceRequest(9, s, 0, -1, sent)
	var last int32
	for range bombs {
		p.send(9, q)
		last = p.last
	}
	answered := make(chan error, 1)
	go func() {
		for range bombs {
			if _, err := p.receive(); err != nil {
				answered <- err
				return
			}
		}
		answered <- nil
	}()
	during := 0
	for {
		select {
		case err := <-answered:
			if err != nil {
				t.Fatalf("answer to bomb %d: %v", last, err)
			}
			// Each bomb takes some fifty milliseconds, a small batch some hundred microseconds, both
			// longer where others work, too. Who had to wait for bombs would get in between them at most.
			if during <= 2*bombs {
				t.Errorf("%d small batches were answered during %d bombs", during, bombs)
			}
			return
		default:
			other.put(others, 0, records("meanwhile"))
			during++
		}
	}
}

// TestAPeerThatLeavesItsBomb: whoever goes while his batch is decompressed leaves nothing
// behind, and a broker stops beside one.
func TestAPeerThatLeavesItsBomb(t *testing.T) {
	onlyOurs(t)
	b, err := begin(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	p := dial(t, b.Addresses()[0])
	s := p.topic(1, "compression.type", "lz4")
	sent := recordsAt(0, batch.BatchOptions{Codec: batch.Gzip, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, strings.Repeat("\x00", 4<<20))
	for range 3 {
		gone := p.another()
		gone.send(9, produceRequest(9, s, 0, -1, sent))
		gone.conn.Close()
	}
	p.put(s, 0, records("still served"))
	leaving := p.another()
	leaving.send(9, produceRequest(9, s, 0, -1, sent))
	stop(t, b)
	if used := b.memory.Used(); used != 0 {
		t.Errorf("%d bytes were not given back", used)
	}
}

// TestInternalTopicsAreNotForClients: whoever could write to the log of a coordinator
// could make groups of his own in it, and bombs that are opened when it is loaded.
func TestInternalTopicsAreNotForClients(t *testing.T) {
	p := dialed(t)
	p.coordinated()
	s := subject{name: "__consumer_offsets"}
	want(t, "produce to an internal topic", p.produce(9, s, 0, records("forged")).ErrorCode, kerr.InvalidTopicException)
}
