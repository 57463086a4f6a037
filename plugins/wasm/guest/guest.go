// Package guest makes a WebAssembly module of a plugin that is written in Go: the package
// that compiles into a broker or a client is the one that runs as a guest. `millrace plugin
// wasm` builds it, with a main that imports this package and the plugin's, and that exports
// what its kind does:
//
//	func init() { guest.Serve("interceptor", "mask") }
//
//	//go:wasmexport millrace_on_produce
//	func onProduce(n uint32) uint64 { return guest.Call("millrace_on_produce", n) }
//
// It turns what the host says (package abi) into calls of the plugin, and what the plugin did
// into answers.
package guest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"unsafe"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/batch"
)

// Guest is a plugin, its input and its output. A host calls it from one thread at a time.
type Guest struct {
	kind     string
	name     string
	plugin   sdk.Interceptor // of that kind
	client   client          // of the other kinds
	input    []byte
	output   []byte
	batch    sdk.Batch
	header   [batch.HeaderSize]byte
	before   []sdk.View // of the batch at hand
	topic    string
	clientID string
	rejects  *sdk.Rejection
	closed   bool // the module says that it fails closed
}

// New is a guest that runs the plugin of that kind (interceptor, partitioner, serializer, assignor,
// producer-interceptor, consumer-interceptor) and name; "" is the only one there is.
func New(kind, name string) *Guest { return &Guest{kind: kind, name: name} }

// Alloc is n bytes for input.
func (g *Guest) Alloc(n uint32) []byte {
	g.input = make([]byte, n)
	return g.input
}

// Configure makes the plugin from the settings in the first n bytes of the input. It
// answers what is wrong with them, or nothing.
func (g *Guest) Configure(n uint32) []byte {
	if err := g.configure(g.input[:n]); err != nil {
		text := err.Error()
		g.output = append(g.output[:0], text[:min(len(text), abi.MaxReason)]...)
		return g.output
	}
	return nil
}

func (g *Guest) configure(p []byte) error {
	values := make(map[string]string)
	for len(p) > 0 {
		var key, value string
		for _, text := range []*string{&key, &value} {
			if len(p) < 4 || uint64(binary.LittleEndian.Uint32(p)) > uint64(len(p)-4) {
				return errors.New("the settings are cut short")
			}
			end := 4 + int(binary.LittleEndian.Uint32(p))
			*text, p = string(p[4:end]), p[end:]
		}
		values[key] = value
	}
	var err error
	switch g.kind {
	case "interceptor":
		if g.plugin, err = pick(sdk.Interceptors, g.kind, g.name, values); err == nil {
			err = g.guarded()
		}
	case "partitioner":
		g.client.partitioner, err = pick(sdk.Partitioners, g.kind, g.name, values)
	case "assignor":
		g.client.assignor, err = pick(sdk.Assignors, g.kind, g.name, values)
	case "producer-interceptor":
		g.client.producer, err = pick(sdk.ProducerInterceptors, g.kind, g.name, values)
	case "consumer-interceptor":
		g.client.consumer, err = pick(sdk.ConsumerInterceptors, g.kind, g.name, values)
	case "serializer":
		err = g.client.serializer(g.name, values)
	default:
		err = fmt.Errorf("there is no kind %q", g.kind)
	}
	return err
}

// FailsClosed says that the module has the mark by which hosts know that nothing may get past
// it unseen.
func (g *Guest) FailsClosed() { g.closed = true }

// guarded refuses a plugin that nothing may get past unseen in a module that does not say so:
// its host would allow on.error=skip.
func (g *Guest) guarded() error {
	if guard, ok := g.plugin.(sdk.Guard); ok && guard.FailClosed() && !g.closed {
		return errors.New("no record may get past the plugin unseen, and the module does not say so: build it with --fail-closed")
	}
	return nil
}

// pick makes the plugin of that name, or the only one.
func pick[T any](plugins *sdk.Kind[T], kind, name string, values map[string]string) (none T, err error) {
	if name == "" {
		names := plugins.Names()
		if len(names) != 1 {
			return none, several(kind, names)
		}
		name = names[0]
	}
	return plugins.New(name, sdk.NewConfig(values))
}

func several(kind string, names []string) error {
	return fmt.Errorf("the module has %d %ss (%s): say which with --name", len(names), kind, strings.Join(names, ", "))
}

// OnProduce shows the batch in the first n bytes of the input to the interceptor. It answers
// a list of edits, or nothing.
func (g *Guest) OnProduce(n uint32) []byte {
	return g.show(n, sdk.Interceptor.OnProduce)
}

// OnFetch is the same for a batch that is about to be sent.
func (g *Guest) OnFetch(n uint32) []byte {
	return g.show(n, sdk.Interceptor.OnFetch)
}

func (g *Guest) show(n uint32, f func(sdk.Interceptor, *sdk.Batch) error) []byte {
	if g.plugin == nil {
		return nil
	}
	err := g.open(g.input[:n])
	if err == nil {
		err = f(g.plugin, &g.batch)
	}
	switch {
	case errors.As(err, &g.rejects):
		return g.whole(abi.Reject, g.rejects.Reason)
	case err != nil:
		return g.whole(abi.Fault, err.Error())
	}
	return g.edits()
}

// open reads a batch.
func (g *Guest) open(p []byte) error {
	little := binary.LittleEndian
	if len(p) < abi.HeaderSize || little.Uint32(p) != abi.BatchMagic {
		return errors.New("the input is no batch of this version")
	}
	topic := int(little.Uint32(p[4:]))
	client := topic + int(little.Uint16(p[60:]))
	records := client + int(little.Uint16(p[62:]))
	end := records + int(little.Uint32(p[12:]))
	if topic < abi.HeaderSize || end > len(p) {
		return errors.New("the input is cut short")
	}
	if string(p[topic:client]) != g.topic {
		g.topic = string(p[topic:client])
	}
	if string(p[client:records]) != g.clientID {
		g.clientID = string(p[client:records])
	}
	g.batch.Topic, g.batch.ClientID, g.batch.Partition = g.topic, g.clientID, int32(little.Uint32(p[20:]))
	g.head(p, p[records:end])
	if err := g.batch.Open(batch.Batch(g.header[:]), p[records:end]); err != nil {
		return fmt.Errorf("read the records: %w", err)
	}
	g.before = g.before[:0]
	for _, v := range g.batch.All() {
		g.before = append(g.before, *v)
	}
	return nil
}

// head makes the header of a batch, of what the host says about it.
func (g *Guest) head(p, records []byte) {
	little, big := binary.LittleEndian, binary.BigEndian
	h := g.header[:]
	big.PutUint64(h, little.Uint64(p[24:]))                        // base offset
	big.PutUint32(h[8:], uint32(batch.HeaderSize-12+len(records))) // length
	h[16] = 2                                                      // magic
	big.PutUint16(h[21:], little.Uint16(p[58:]))                   // attributes
	big.PutUint32(h[23:], max(little.Uint32(p[8:]), 1)-1)          // last offset delta
	big.PutUint64(h[27:], little.Uint64(p[32:]))                   // timestamps
	big.PutUint64(h[35:], little.Uint64(p[40:]))
	big.PutUint64(h[43:], little.Uint64(p[48:])) // producer
	big.PutUint16(h[51:], little.Uint16(p[56:]))
	big.PutUint32(h[53:], 1<<32-1) // sequence: the host's alone
	big.PutUint32(h[57:], little.Uint32(p[8:]))
}

// whole is a list that says one thing about the batch.
func (g *Guest) whole(fate byte, reason string) []byte {
	g.begin()
	g.edit(abi.Null, fate, 0)
	g.text(reason[:min(len(reason), abi.MaxReason)])
	return g.end(1)
}

func (g *Guest) begin() {
	g.output = binary.LittleEndian.AppendUint32(g.output[:0], abi.EditsMagic)
	g.output = append(g.output, 0, 0, 0, 0)
}

func (g *Guest) end(edits int) []byte {
	binary.LittleEndian.PutUint32(g.output[4:], uint32(edits))
	return g.output
}

func (g *Guest) edit(record uint32, fate, has byte) {
	g.output = append(binary.LittleEndian.AppendUint32(g.output, record), fate, has, 0, 0)
}

func (g *Guest) text(s string) {
	g.output = append(binary.LittleEndian.AppendUint32(g.output, uint32(len(s))), s...)
}

func (g *Guest) bytes(p []byte) {
	if p == nil {
		g.output = binary.LittleEndian.AppendUint32(g.output, abi.Null)
		return
	}
	g.output = append(binary.LittleEndian.AppendUint32(g.output, uint32(len(p))), p...)
}

// edits is the list of what the interceptor did.
func (g *Guest) edits() []byte {
	all := g.batch.Edits()
	if all == nil {
		return nil
	}
	g.begin()
	made := 0
	for i := range all {
		e := &all[i]
		switch e.Fate {
		case sdk.Edited:
			if !g.edited(uint32(i), &g.before[i], &e.View) {
				continue
			}
		case sdk.Dropped:
			g.edit(uint32(i), abi.Drop, 0)
		case sdk.Routed:
			g.edit(uint32(i), abi.Route, 0)
			g.text(e.Topic)
		case sdk.Failed:
			g.edit(uint32(i), abi.Fail, 0)
			g.text(e.Reason[:min(len(e.Reason), abi.MaxReason)])
		default:
			continue
		}
		made++
	}
	return g.end(made)
}

// edited writes what is new in a record, if anything is.
func (g *Guest) edited(record uint32, before, after *sdk.View) bool {
	var has byte
	headers := after.Headers
	if !same(before.Key, after.Key) {
		has |= abi.HasKey
	}
	if !same(before.Value, after.Value) {
		has |= abi.HasValue
	}
	switch old := len(before.Headers); {
	case len(headers) < old || !sameHeaders(before.Headers, headers[:old]):
		has |= abi.HasHeaders
	case len(headers) > old:
		has |= abi.AddHeaders
		headers = headers[old:]
	}
	if has == 0 {
		return false
	}
	g.edit(record, abi.Edit, has)
	if has&abi.HasKey != 0 {
		g.bytes(after.Key)
	}
	if has&abi.HasValue != 0 {
		g.bytes(after.Value)
	}
	if has&(abi.HasHeaders|abi.AddHeaders) != 0 {
		g.output = binary.LittleEndian.AppendUint32(g.output, uint32(len(headers)))
		for _, h := range headers {
			g.text(h.Key)
			g.bytes(h.Value)
		}
	}
	return true
}

// same reports whether two slices are the same memory: what was not set is where it was.
func same(a, b []byte) bool {
	return len(a) == len(b) && (a == nil) == (b == nil) && unsafe.SliceData(a) == unsafe.SliceData(b)
}

func sameHeaders(a, b []batch.Header) bool {
	for i := range a {
		if a[i].Key != b[i].Key || !same(a[i].Value, b[i].Value) {
			return false
		}
	}
	return true
}
