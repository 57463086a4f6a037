package client_test

import (
	"bufio"
	"encoding/binary"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/wire"
)

// nullBroker acknowledges everything and keeps nothing. All topics have so many partitions.
func nullBroker(t testing.TB, partitions int32) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wait sync.WaitGroup
	var mu sync.Mutex
	var sockets []net.Conn
	wait.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			sockets = append(sockets, c)
			mu.Unlock()
			wait.Go(func() { (&nullConnection{c: c, port: l.Addr().(*net.TCPAddr).Port, partitions: partitions}).serve() })
		}
	})
	t.Cleanup(func() {
		l.Close()
		mu.Lock()
		for _, c := range sockets {
			c.Close()
		}
		mu.Unlock()
		wait.Wait()
	})
	return "127.0.0.1:" + strconv.Itoa(l.Addr().(*net.TCPAddr).Port)
}

type nullConnection struct {
	c          net.Conn
	port       int
	partitions int32
	frame, out []byte
	produce    wire.Produce
	results    []wire.ProduceResult
}

func (n *nullConnection) serve() {
	defer n.c.Close()
	in := bufio.NewReaderSize(n.c, 64<<10)
	var length [4]byte
	for {
		if _, err := io.ReadFull(in, length[:]); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(length[:]))
		if cap(n.frame) < size {
			n.frame = make([]byte, size)
		}
		n.frame = n.frame[:size]
		if _, err := io.ReadFull(in, n.frame); err != nil {
			return
		}
		n.out = append(append(n.out[:0], 0, 0, 0, 0), n.frame[4:8]...)
		if !n.answer(int16(binary.BigEndian.Uint16(n.frame)), int16(binary.BigEndian.Uint16(n.frame[2:]))) {
			return
		}
		binary.BigEndian.PutUint32(n.out, uint32(len(n.out)-4))
		if _, err := n.c.Write(n.out); err != nil {
			return
		}
	}
}

func (n *nullConnection) body(flexible bool) []byte {
	at := 10 + int(int16(binary.BigEndian.Uint16(n.frame[8:])))
	if flexible {
		at++
		n.out = append(n.out, 0)
	}
	return n.frame[at:]
}

func (n *nullConnection) answer(key, version int16) bool {
	switch key {
	case 0:
		if n.produce.Parse(version, n.body(version >= 9)) != nil {
			return false
		}
		n.results = n.results[:0]
		for range n.produce.Partitions {
			n.results = append(n.results, wire.ProduceResult{LogAppendTime: -1})
		}
		n.out = n.produce.AppendProduce(n.out, n.results, 0, nil)
	case 3:
		n.out = n.metadata(version).AppendTo(n.out)
	case 18:
		a := kmsg.NewPtrApiVersionsResponse()
		a.Version = version
		a.ApiKeys = []kmsg.ApiVersionsResponseApiKey{{ApiKey: 0, MinVersion: 3, MaxVersion: 11}, {ApiKey: 3, MaxVersion: 12}, {ApiKey: 18, MaxVersion: 3}, {ApiKey: 22, MaxVersion: 4}}
		n.out = a.AppendTo(n.out)
	case 22:
		a := kmsg.NewPtrInitProducerIDResponse()
		a.Version, a.ProducerID = version, 1
		n.body(version >= 2)
		n.out = a.AppendTo(n.out)
	default:
		return false
	}
	return true
}

func (n *nullConnection) metadata(version int16) *kmsg.MetadataResponse {
	q := kmsg.NewPtrMetadataRequest()
	q.Version = version
	if err := q.ReadFrom(n.body(version >= 9)); err != nil {
		panic(err)
	}
	a := kmsg.NewPtrMetadataResponse()
	a.Version = version
	b := kmsg.NewMetadataResponseBroker()
	b.Host, b.Port = "127.0.0.1", int32(n.port)
	a.Brokers = append(a.Brokers, b)
	for _, asked := range q.Topics {
		t := kmsg.NewMetadataResponseTopic()
		t.Topic = asked.Topic
		for i := range n.partitions {
			p := kmsg.NewMetadataResponseTopicPartition()
			p.Partition = i
			t.Partitions = append(t.Partitions, p)
		}
		a.Topics = append(a.Topics, t)
	}
	return a
}
