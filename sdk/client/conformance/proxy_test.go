package conformance

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"strconv"
	"sync"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// verdict is what a proxy does with a Produce request or its answer.
type verdict struct {
	code   int16 // of each partition, instead of what the broker says
	cut    bool  // the connection
	garble bool  // the correlation id
}

// proxy stands between client and broker. It serves one request of a connection after the
// other, and claims to be all brokers.
type proxy struct {
	t        testing.TB
	listener net.Listener
	broker   string

	mu      sync.Mutex
	sockets map[net.Conn]bool
	wait    sync.WaitGroup

	// request and answer see Produce, numbered from 1: before the broker sees it (a code other
	// than 0 answers it without the broker), and before the client sees what became of it.
	request, answer func(n int) verdict
	seen            int

	// heard sees each request, alter each answer, which it may change. Both are set before anybody connects, and
	// called by the goroutines of connections.
	heard func(request []byte)
	alter func(key, version int16, answer []byte) []byte

	// lost has answers to other requests, of that key, cut off: the nth each.
	lost  map[int16]int
	asked map[int16]int
}

func newProxy(t testing.TB, broker string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{t: t, listener: l, broker: broker, sockets: map[net.Conn]bool{}}
	p.wait.Go(p.accept)
	t.Cleanup(func() {
		l.Close()
		p.cut()
		p.wait.Wait()
	})
	return p
}

func (p *proxy) address() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		p.wait.Go(func() { p.serve(client) })
	}
}

// keep remembers a socket, to be cut.
func (p *proxy) keep(c net.Conn) (forget func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sockets[c] = true
	return func() {
		c.Close()
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.sockets, c)
	}
}

// cut ends all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for c := range p.sockets {
		c.Close()
	}
}

// script sets what happens to Produce from now on.
func (p *proxy) script(request, answer func(n int) verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.request, p.answer, p.seen = request, answer, 0
}

// lose cuts the connection instead of every nth answer to requests of a kind.
func (p *proxy) lose(key kmsg.Key, nth int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost == nil {
		p.lost, p.asked = map[int16]int{}, map[int16]int{}
	}
	p.lost[key.Int16()] = nth
}

// loses reports whether this answer is to be lost.
func (p *proxy) loses(key int16) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.lost[key] == 0 {
		return false
	}
	p.asked[key]++
	return p.asked[key]%p.lost[key] == 0
}

// count numbers a Produce request.
func (p *proxy) count() (n int, request, answer func(n int) verdict) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen++
	return p.seen, p.request, p.answer
}

// produces is how many Produce requests came since the script was set.
func (p *proxy) produces() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.seen
}

func (p *proxy) serve(client net.Conn) {
	defer p.keep(client)()
	broker, err := net.Dial("tcp", p.broker)
	if err != nil {
		return
	}
	defer p.keep(broker)()
	for {
		request, err := frameOf(client)
		if err != nil {
			return
		}
		answer, err := p.exchange(broker, request)
		if err != nil {
			return
		}
		if answer == nil {
			continue
		}
		if _, err := client.Write(framed(answer)); err != nil {
			return
		}
	}
}

var errCut = errors.New("cut by the script")

// exchange passes a request on and answers what the client shall see; nil: nothing.
func (p *proxy) exchange(broker net.Conn, request []byte) ([]byte, error) {
	key, version := int16(binary.BigEndian.Uint16(request)), int16(binary.BigEndian.Uint16(request[2:]))
	if p.heard != nil {
		p.heard(request)
	}
	var before, after verdict
	n, onRequest, onAnswer := 0, (func(int) verdict)(nil), (func(int) verdict)(nil)
	silent := false
	if key == 0 {
		n, onRequest, onAnswer = p.count()
		silent = acksOf(request, version) == 0
		if onRequest != nil {
			before = onRequest(n)
		}
		if before.cut {
			return nil, errCut
		}
		if before.code != 0 {
			return refuse(request, version, before.code), nil
		}
	}
	if _, err := broker.Write(framed(request)); err != nil {
		return nil, err
	}
	if silent {
		return nil, nil
	}
	answer, err := frameOf(broker)
	if err != nil {
		return nil, err
	}
	if p.alter != nil {
		answer = p.alter(key, version, answer)
	}
	if key == 0 && onAnswer != nil {
		after = onAnswer(n)
	}
	switch {
	case after.cut, p.loses(key):
		return nil, errCut
	case after.garble:
		binary.BigEndian.PutUint32(answer, 0xdeadbeef)
	case key == 0 && after.code != 0:
		return refuse(request, version, after.code), nil
	case key == kmsg.Metadata.Int16():
		return p.pose(answer, version), nil
	case key == kmsg.FindCoordinator.Int16():
		return p.coordinate(answer, version), nil
	}
	return answer, nil
}

// body is what follows the header of a request.
func body(request []byte, flexible bool) []byte {
	at := 10
	if n := int(int16(binary.BigEndian.Uint16(request[8:]))); n > 0 {
		at += n
	}
	if flexible {
		at++ // no tags
	}
	return request[at:]
}

func produceOf(request []byte, version int16) *kmsg.ProduceRequest {
	q := kmsg.NewPtrProduceRequest()
	q.Version = version
	if err := q.ReadFrom(body(request, q.IsFlexible())); err != nil {
		panic(err)
	}
	return q
}

func acksOf(request []byte, version int16) int16 { return produceOf(request, version).Acks }

// refuse answers a Produce request with one code for every partition.
func refuse(request []byte, version, code int16) []byte {
	q := produceOf(request, version)
	a := q.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range q.Topics {
		topic := kmsg.NewProduceResponseTopic()
		topic.Topic, topic.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			one := kmsg.NewProduceResponseTopicPartition()
			one.Partition, one.ErrorCode, one.BaseOffset = p.Partition, code, -1
			topic.Partitions = append(topic.Partitions, one)
		}
		a.Topics = append(a.Topics, topic)
	}
	out := append([]byte{}, request[4:8]...)
	if a.IsFlexible() {
		out = append(out, 0)
	}
	return a.AppendTo(out)
}

// reworded is an answer, of the kind that a is of, after change.
func reworded[A kmsg.Response](a A, version int16, answer []byte, change func(A)) []byte {
	a.SetVersion(version)
	at := 4 // the correlation id
	if a.IsFlexible() {
		at++ // no tags
	}
	if err := a.ReadFrom(answer[at:]); err != nil {
		panic(err)
	}
	change(a)
	return a.AppendTo(answer[:at:at])
}

// place is where the proxy listens.
func (p *proxy) place() (host string, port int32) {
	host, text, _ := net.SplitHostPort(p.address())
	number, _ := strconv.Atoi(text)
	return host, int32(number)
}

// pose has the answer to Metadata say that every broker is where the proxy is.
func (p *proxy) pose(answer []byte, version int16) []byte {
	return reworded(kmsg.NewPtrMetadataResponse(), version, answer, func(a *kmsg.MetadataResponse) {
		for i := range a.Brokers {
			a.Brokers[i].Host, a.Brokers[i].Port = p.place()
		}
	})
}

// coordinate has the answer to FindCoordinator say that the coordinator is where the proxy is.
func (p *proxy) coordinate(answer []byte, version int16) []byte {
	return reworded(kmsg.NewPtrFindCoordinatorResponse(), version, answer, func(a *kmsg.FindCoordinatorResponse) {
		a.Host, a.Port = p.place()
		for i := range a.Coordinators {
			a.Coordinators[i].Host, a.Coordinators[i].Port = p.place()
		}
	})
}

func frameOf(c io.Reader) ([]byte, error) {
	var length [4]byte
	if _, err := io.ReadFull(c, length[:]); err != nil {
		return nil, err
	}
	frame := make([]byte, binary.BigEndian.Uint32(length[:]))
	_, err := io.ReadFull(c, frame)
	return frame, err
}

func framed(p []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(p))), p...) }
