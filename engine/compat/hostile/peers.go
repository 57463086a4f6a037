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
	"runtime"
	"sync"
	"time"

	"github.com/klauspost/compress/s2"
	"github.com/klauspost/compress/snappy/xerial"
	"github.com/klauspost/compress/zstd"
	"github.com/pierrec/lz4/v4"
	"github.com/twmb/franz-go/pkg/kmsg"
)

const (
	honestTopic = "honest"
	dataTopic   = "data"   // some megabytes to fetch
	packedTopic = "packed" // the broker compresses what comes
	keyedTopic  = "keyed"  // the broker looks whether records have keys
	seenTopic   = "seen"   // interceptors see what is written and read
	readTopic   = "read"   // interceptors see what is read
)

// A peer is a kind of them.
type peer struct {
	name        string
	what        string
	connections int
	bytes       int64 // of memory that all of them together may cost the broker
	data        bool  // they want data to read
	plugins     bool  // they want topics with interceptors
	attack      func(*scene) error
}

// control names the peers that send nothing. Beside them the honest client may wait as long as it does: what it waits
// beside the others is to be read against that.
const control = "busy"

var peers = []peer{
	{control, "compute on every processor for two seconds and send nothing: what the machine itself makes of the honest client", 0, 32 << 20, false, false, busy},
	{"idle", "ask which versions there are, read the answer and say no more", 10_000, 64 << 20, false, false, idle},
	{"unread", "ask for a mebibyte eight times and read nothing", 1_000, 128 << 20, true, false, unread},
	{"half", "send half a frame of 8 KiB", 5_000, 64 << 20, false, false, half},
	{"promises", "promise a frame of 90 MiB and send ten bytes of it", 5_000, 64 << 20, false, false, promises},
	{"dribble", "send a good request byte by byte, again and again", 500, 32 << 20, false, false, dribble},
	{"lengths", "claim frames of 2 GiB, of 101 MiB and of negative length", 1_000, 32 << 20, false, false, lengths},
	{"arrays", "claim two billion elements, in every array of every version of every request that is served", 1_000, 64 << 20, false, false, arrays},
	{"bombs", "send 128 MiB of zeros in small batches of every codec, to topics that are compressed anew, compacted, or searched by time", 8, 128 << 20, false, false, bombs},
	{"crowds", "send small batches that are nearly all headers, or nearly all records, to topics with interceptors, and read them through interceptors", 8, 256 << 20, false, true, crowds},
	{"heavy", "ask a thousand times for the metadata of 10,000 partitions, 27 bytes each, and read nothing", 40, 512 << 20, false, false, heavy},
	{"unread-seen", "ask for a mebibyte through interceptors 64 times and read nothing", 200, 256 << 20, true, true, unreadSeen},
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

// together opens all connections and does the same on each, on all of them at once.
func (s *scene) together(f func(net.Conn) error) error {
	all := make([]net.Conn, s.connections)
	for i := range all {
		c, err := s.dial()
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		all[i] = c
	}
	ended := make(chan error)
	for _, c := range all {
		go func() { ended <- f(c) }()
	}
	var wrong error
	for range all {
		wrong = errors.Join(wrong, <-ended)
	}
	return wrong
}

var topicSettings = map[string]map[string]string{
	packedTopic: {"compression.type": "zstd"}, keyedTopic: {"cleanup.policy": "compact"},
	seenTopic: {"interceptors.produce": "header-stamp", "interceptors.fetch": "mask"}, readTopic: {"interceptors.fetch": "mask"},
}

// load has the broker load interceptors.
func (s *scene) load(c net.Conn) error {
	q := kmsg.NewPtrIncrementalAlterConfigsRequest()
	r := kmsg.NewIncrementalAlterConfigsRequestResource()
	r.ResourceType = kmsg.ConfigResourceTypeBroker
	for name, value := range map[string]string{"plugins": "header-stamp,mask", "plugin.mask.fields": "card"} {
		config := kmsg.NewIncrementalAlterConfigsRequestResourceConfig()
		config.Name, config.Value = name, kmsg.StringPtr(value)
		r.Configs = append(r.Configs, config)
	}
	q.Resources = append(q.Resources, r)
	body, err := exchange(c, format(0, q))
	if err != nil {
		return fmt.Errorf("load interceptors: %w", err)
	}
	a := kmsg.NewPtrIncrementalAlterConfigsResponse()
	if err := a.ReadFrom(body[4:]); err != nil {
		return fmt.Errorf("load interceptors: %w", err)
	}
	if r := a.Resources[0]; r.ErrorCode != 0 {
		return fmt.Errorf("load interceptors: error %d: %s", r.ErrorCode, *r.ErrorMessage)
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
	names := []string{honestTopic, dataTopic, packedTopic, keyedTopic}
	if p.plugins {
		names = append(names, seenTopic, readTopic)
		if err := s.load(c); err != nil {
			return err
		}
	}
	for _, name := range names {
		t := kmsg.NewCreateTopicsRequestTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
		for setting, value := range topicSettings[name] {
			config := kmsg.NewCreateTopicsRequestTopicConfig()
			config.Name, config.Value = setting, kmsg.StringPtr(value)
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
	megabyte := format(7, produce(dataTopic, plainBatch(900_000)))
	for range 8 {
		if _, err := exchange(c, megabyte); err != nil {
			return fmt.Errorf("produce: %w", err)
		}
	}
	if !p.plugins {
		return nil
	}
	if _, err := exchange(c, format(7, produce(readTopic, plainBatch(900_000)))); err != nil {
		return fmt.Errorf("produce: %w", err)
	}
	return nil
}

// busy peers only keep the processors busy.
func busy(*scene) error {
	var working sync.WaitGroup
	end := time.Now().Add(2 * time.Second)
	for range runtime.NumCPU() {
		working.Go(func() {
			for time.Now().Before(end) { //nolint:revive // to compute is all it is for
			}
		})
	}
	working.Wait()
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
	requests := bytes.Repeat(format(11, fetchMegabyte(dataTopic)), 8)
	return s.each(func(int) []byte { return requests })
}

// unreadSeen peers do so 64 times, from a topic whose records interceptors are to see.
func unreadSeen(s *scene) error {
	requests := bytes.Repeat(format(11, fetchMegabyte(readTopic)), 64)
	return s.each(func(int) []byte { return requests })
}

func fetchMegabyte(topic string) *kmsg.FetchRequest {
	q := kmsg.NewPtrFetchRequest()
	q.MaxBytes, q.MinBytes, q.MaxWaitMillis = 1<<20, 1, 500
	t := kmsg.NewFetchRequestTopic()
	t.Topic = topic
	p := kmsg.NewFetchRequestTopicPartition()
	p.PartitionMaxBytes, p.CurrentLeaderEpoch = 1<<20, -1
	t.Partitions = append(t.Partitions, p)
	q.Topics = append(q.Topics, t)
	return q
}

// heavy peers ask for what is ten thousand times as large as the request, again and again, and read nothing.
func heavy(s *scene) error {
	c, err := s.dial()
	if err != nil {
		return err
	}
	create := kmsg.NewPtrCreateTopicsRequest()
	create.TimeoutMillis = 5000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = "wide", 10_000, 1
	create.Topics = append(create.Topics, t)
	if _, err := exchange(c, format(4, create)); err != nil {
		return fmt.Errorf("create a topic: %w", err)
	}
	q := kmsg.NewPtrMetadataRequest()
	q.Topics = nil
	requests := bytes.Repeat(format(9, q), 1000)
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

const (
	bombSize  = 128 << 20
	largeBomb = 16 << 20 // of the codec that cannot make a bomb of a mebibyte into more
)

// bombs are batches with a record of zeros, for topics whose records the broker compresses anew, looks at for keys, or
// looks for by time. All connections send theirs at the same time.
func bombs(s *scene) error {
	sent, err := allBombs()
	if err != nil {
		return err
	}
	return s.together(func(c net.Conn) error { return throw(c, sent) })
}

// throw sends every bomb to every topic, and has the records looked for.
func throw(c net.Conn, sent [][]byte) error {
	for _, b := range sent {
		for _, topic := range []string{packedTopic, keyedTopic, dataTopic} {
			body, err := exchange(c, format(7, produce(topic, b)))
			if err != nil {
				return fmt.Errorf("send a bomb to %s: %w", topic, err)
			}
			if err := taken(body); err != nil {
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
	return nil
}

// allBombs are batches in every codec. Snappy comes in the framing of Java's clients and as one block, as from C: that
// is the only one which cannot be looked through in a window.
func allBombs() (sent [][]byte, err error) {
	zeros := record(bombSize)
	for attributes, w := range map[int16]func(io.Writer) (io.WriteCloser, error){
		1: func(to io.Writer) (io.WriteCloser, error) { return gzip.NewWriterLevel(to, gzip.BestSpeed) },
		3: func(to io.Writer) (io.WriteCloser, error) { return lz4.NewWriter(to), nil },
		4: func(to io.Writer) (io.WriteCloser, error) { return zstd.NewWriter(to, zstd.WithWindowSize(1<<20)) },
	} {
		var out bytes.Buffer
		to, err := w(&out)
		if err == nil {
			_, err = to.Write(zeros)
		}
		if err == nil {
			err = to.Close()
		}
		if err != nil {
			return nil, fmt.Errorf("make a bomb: %w", err)
		}
		sent = append(sent, rawBatch(attributes, out.Bytes()))
	}
	zeros = record(largeBomb)
	return append(sent, rawBatch(2, xerial.Encode(nil, zeros)), rawBatch(2, s2.EncodeSnappy(nil, zeros))), nil
}

// crowds are batches that are small in every respect but one: how many headers or records they have. In lists of
// views, edits and headers each of those takes ten to fifty times what it took in the batch.
func crowds(s *scene) error {
	sent, err := allCrowds()
	if err != nil {
		return err
	}
	return s.together(func(c net.Conn) error { return crowd(c, sent) })
}

// crowd sends all of them, whether they are taken or refused, and reads what was stored.
func crowd(c net.Conn, sent [][]byte) error {
	for _, b := range sent {
		for _, topic := range []string{seenTopic, readTopic} {
			if _, err := exchange(c, format(7, produce(topic, b))); err != nil {
				return fmt.Errorf("send a crowd to %s: %w", topic, err)
			}
			if _, err := exchange(c, format(11, fetchMegabyte(topic))); err != nil {
				return fmt.Errorf("read a crowd from %s: %w", topic, err)
			}
		}
	}
	return nil
}

// allCrowds are batches of one record with many headers, and of many records: as many as there may be memory for, and
// far more.
func allCrowds() (sent [][]byte, err error) {
	for _, count := range []int{250_000, 8_000_000} {
		for _, one := range []struct {
			records int
			plain   []byte
		}{{1, recordOfHeaders(count)}, {count / 4, emptyRecords(count / 4)}} {
			var out bytes.Buffer
			to, err := zstd.NewWriter(&out, zstd.WithWindowSize(1<<20))
			if err == nil {
				_, err = to.Write(one.plain)
			}
			if err == nil {
				err = to.Close()
			}
			if err != nil {
				return nil, fmt.Errorf("make a crowd: %w", err)
			}
			sent = append(sent, batchOf(4, one.records, out.Bytes()))
		}
	}
	return sent, nil
}

// recordOfHeaders is a record whose headers have no name and no value.
func recordOfHeaders(count int) []byte {
	headers := binary.AppendVarint(nil, int64(count))
	body := append([]byte{0, 0, 0, 1, 1}, headers...) // attributes, time, offset, no key, no value
	body = append(body, bytes.Repeat([]byte{0, 1}, count)...)
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

// emptyRecords have neither key nor value.
func emptyRecords(count int) (all []byte) {
	for i := range count {
		body := binary.AppendVarint([]byte{0, 0}, int64(i))
		body = append(body, 1, 1, 0)
		all = append(binary.AppendVarint(all, int64(len(body))), body...)
	}
	return all
}

// record is a record of zeros.
func record(size int) []byte {
	r := kmsg.Record{Key: []byte("key"), Value: make([]byte, size)}
	plain := r.AppendTo(make([]byte, 0, size+64))
	r.Length = int32(len(plain)) - 1 // the length itself is one byte while it is 0
	return r.AppendTo(plain[:0])
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
func plainBatch(size int) []byte { return rawBatch(0, record(size)) }

// rawBatch is a batch that says it has one record.
func rawBatch(attributes int16, records []byte) []byte { return batchOf(attributes, 1, records) }

// batchOf is a batch that says it has so many.
func batchOf(attributes int16, count int, records []byte) []byte {
	b := kmsg.RecordBatch{Magic: 2, Attributes: attributes, FirstTimestamp: 1000, MaxTimestamp: 1000, ProducerID: -1, ProducerEpoch: -1, FirstSequence: -1,
		NumRecords: int32(count), LastOffsetDelta: int32(count - 1), Records: records, PartitionLeaderEpoch: -1}
	b.Length = int32(len(b.AppendTo(nil)) - 12)
	raw := b.AppendTo(nil)
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return raw
}
