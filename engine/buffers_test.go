package engine

import (
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/diskio"
	"github.com/millrace/millrace/sdk/batch"
)

// TestBuffersShowNoOtherTopic: three topics, each with a letter of its own, written and read
// through the same pools by many connections, beside requests that fail, are refused, or
// are cut off with their connection at every stage. Whatever is fetched, passed through or
// compressed again, holds its topic's letter and no other.
func TestBuffersShowNoOtherTopic(t *testing.T) {
	onlyOurs(t)
	for name, files := range map[string]diskio.FS{"mapped": diskio.OS, "copied": diskio.NewMemory()} {
		t.Run(name, func(t *testing.T) {
			b, err := beginOn(files, t.TempDir(), "num.network.threads=2", "queued.max.request.bytes=1048576")
			if err != nil {
				t.Fatal(err)
			}
			defer stop(t, b)
			p := dial(t, b.Addresses()[0])
			topics := map[string]subject{"a": p.topic(2), "b": p.topic(2, "compression.type", "lz4"), "c": p.topic(2, "cleanup.policy", "compact")}
			var all sync.WaitGroup
			for letter, s := range topics {
				for seed := range uint64(2) {
					all.Go(func() { mix(p.another().at(t), s, letter, rand.New(rand.NewPCG(seed, uint64(letter[0])))) })
				}
			}
			all.Wait()
		})
	}
}

// mix writes to and reads from one topic, and misbehaves beside.
func mix(p *peer, s subject, letter string, random *rand.Rand) {
	codecs := []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd}
	for range 60 {
		partition := random.Int32N(2)
		o := batch.NoProducer()
		o.Codec = codecs[random.IntN(len(codecs))]
		sent := recordsAt(time.Now().UnixMilli(), o, strings.Repeat(letter, 1+random.IntN(50_000)), strings.Repeat(letter, 10))
		if r := p.produce(9, s, partition, sent); r.ErrorCode != 0 {
			p.t.Errorf("produce %s: %s", letter, errorName(r.ErrorCode))
			return
		}
		spoil(p, s, partition, sent, random)
		r := p.fetch(12, from(s, partition, random.Int64N(2)))
		for _, v := range values(p.t, r.RecordBatches) {
			if strings.Trim(v, letter) != "" {
				p.t.Errorf("the topic of %q shows %q", letter, v[:min(len(v), 40)])
				return
			}
		}
	}
}

// spoil sends something that fails or is cut off, on a connection of its own.
func spoil(p *peer, s subject, partition int32, sent []byte, random *rand.Rand) {
	bad := p.another()
	defer bad.conn.Close()
	request := bad.request(9, produceRequest(9, s, partition, -1, sent))
	switch random.IntN(6) {
	case 0: // half a frame
		bad.write(request[:4+random.IntN(len(request)-4)])
	case 1: // a whole one, whose answer nobody awaits
		bad.write(request)
	case 2: // the checksum is wrong
		spoiled := append([]byte(nil), sent...)
		spoiled[len(spoiled)-1] ^= 1
		if r := bad.produce(9, s, partition, spoiled); r.ErrorCode == 0 {
			p.t.Error("a wrong checksum was taken")
		}
	case 3: // a topic that is not there
		bad.produce(9, subject{name: "missing"}, 0, sent)
	case 4: // much is asked for, and nothing read
		for range 20 {
			bad.send(12, from(s, partition, 0))
		}
	case 5: // an array that is not there, behind something good
		request = append(request, bad.request(9, kmsg.NewPtrProduceRequest())...)
		binary.BigEndian.PutUint32(request[len(request)-5:], 0xffffff07)
		bad.write(request)
	}
}
