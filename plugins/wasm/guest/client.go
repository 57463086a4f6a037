package guest

import (
	"bytes"
	"fmt"
	"reflect"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/plugins/wasm/message"
	"github.com/millrace/millrace/sdk"
)

// client is a plugin that runs in clients: of one of these kinds.
type client struct {
	partitioner  sdk.Partitioner
	assignor     sdk.Assignor
	serialize    sdk.Serializer[any]   // nil: it has none
	deserialize  sdk.Deserializer[any] // nil: it has none
	shape        message.Shape
	producer     sdk.ProducerInterceptor
	consumer     sdk.ConsumerInterceptor
	record       message.Record
	place        message.Placement
	datum        message.Datum
	headers      []sdk.Header
	bytes, value []byte
}

// serializer makes the serializer and the deserializer of that name, or the only ones.
func (c *client) serializer(name string, values map[string]string) error {
	var of reflect.Type
	var names []string
	serializers, deserializers := sdk.AllSerializers(), sdk.AllDeserializers()
	note := func(t reflect.Type, is string) {
		if name == "" || name == is {
			names = append(names, is+" of "+t.String())
			of = t
		}
	}
	for _, s := range serializers {
		note(s.Type, s.Name)
	}
	if len(names) == 0 {
		for _, d := range deserializers {
			note(d.Type, d.Name)
		}
	}
	if len(names) != 1 {
		return several("serializer", names)
	}
	var err error
	for _, s := range serializers {
		if s.Type == of && (name == "" || name == s.Name) {
			if c.serialize, err = s.New(sdk.NewConfig(values)); err != nil {
				return err
			}
		}
	}
	for _, d := range deserializers {
		if d.Type == of && (name == "" || name == d.Name) {
			if c.deserialize, err = d.New(sdk.NewConfig(values)); err != nil {
				return err
			}
		}
	}
	c.shape, err = message.ShapeOf(of)
	return err
}

// Partition answers the partition of the placement in the first n bytes of the input.
func (g *Guest) Partition(n uint32) uint64 {
	c := &g.client
	if err := c.place.Read(g.input[:n]); err != nil {
		panic(err)
	}
	return uint64(int64(c.partitioner.Partition(&c.place.Placement)))
}

// Answer has the plugin do what an export of that name is for, with the first n bytes of the
// input. Nothing stands for nothing to say.
func (g *Guest) Answer(export string, n uint32) []byte {
	input := g.input[:n]
	switch export {
	case abi.OnProduce:
		return g.OnProduce(n)
	case abi.OnFetch:
		return g.OnFetch(n)
	case abi.OnNewBatch:
		g.client.full(input)
		return nil
	case abi.Serialize:
		return g.said(g.client.toBytes(input))
	case abi.Deserialize:
		return g.said(g.client.fromBytes(input))
	case abi.Assignor:
		a := g.client.assignor
		g.output = append(abi.AppendU32(g.output[:0], uint32(a.Protocol())), a.Name()...)
		return g.output
	case abi.Assign:
		return g.assign(input)
	case abi.OnSend:
		return g.onSend(input)
	case abi.OnConsume:
		return g.onConsume(input)
	case abi.OnAck:
		g.client.onAck(input)
		return nil
	case abi.OnCommit:
		g.client.onCommit(input)
		return nil
	case abi.UserData:
		return g.said(g.client.userData(input))
	}
	panic("there is no export " + export)
}

// said is the answer of a datum, or of the error that there is none.
func (g *Guest) said(d *message.Datum, err error) []byte {
	if err != nil {
		g.output = message.AppendFault(g.output[:0], err.Error())
		return g.output
	}
	g.output = message.AppendDatum(g.output[:0], d)
	return g.output
}

func (c *client) full(input []byte) {
	topic, partition, err := message.ReadFull(input)
	if err != nil {
		panic(err)
	}
	if l, ok := c.partitioner.(sdk.BatchListener); ok {
		l.OnNewBatch(topic, partition)
	}
}

// toBytes is a value as a record holds it.
func (c *client) toBytes(input []byte) (*message.Datum, error) {
	if err := c.datum.Read(input); err != nil {
		return nil, err
	}
	if c.serialize == nil {
		return nil, fmt.Errorf("the module has no serializer")
	}
	v, err := c.shape.Value(c.datum.Form, c.datum.Bytes)
	if err != nil {
		return nil, err
	}
	c.headers = append(c.headers[:0], c.datum.Headers...)
	headers := c.headers
	p, err := c.serialize.Append(c.bytes[:0], c.datum.Topic, &headers, v)
	if err != nil {
		return nil, err
	}
	out := &message.Datum{Form: abi.FormBytes, Bytes: p, Headers: headers, Same: sameRecordHeaders(c.datum.Headers, headers)}
	if p == nil {
		out.Form = abi.FormNull
	} else {
		c.bytes = p
	}
	return out, nil
}

func sameRecordHeaders(a, b []sdk.Header) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Key != b[i].Key || !bytes.Equal(a[i].Value, b[i].Value) || (a[i].Value == nil) != (b[i].Value == nil) {
			return false
		}
	}
	return true
}

// fromBytes is what a record holds as a value.
func (c *client) fromBytes(input []byte) (*message.Datum, error) {
	if err := c.datum.Read(input); err != nil {
		return nil, err
	}
	if c.deserialize == nil {
		return nil, fmt.Errorf("the module has no deserializer")
	}
	data := c.datum.Bytes
	switch {
	case c.datum.Form == abi.FormNull:
		data = nil
	case data == nil:
		data = []byte{}
	}
	v, err := c.deserialize.Decode(c.datum.Topic, c.datum.Headers, data)
	if err != nil {
		return nil, err
	}
	form, p, err := c.shape.Append(c.value[:0], v)
	if err != nil {
		return nil, err
	}
	c.value = p
	return &message.Datum{Form: form, Bytes: p, Same: true}, nil
}

func (c *client) userData(input []byte) (*message.Datum, error) {
	topics, owned, err := message.ReadMember(input)
	if err != nil {
		return nil, err
	}
	data := c.assignor.UserData(topics, owned)
	if data == nil {
		return &message.Datum{Same: true}, nil
	}
	return &message.Datum{Form: abi.FormBytes, Bytes: data, Same: true}, nil
}

func (g *Guest) assign(input []byte) []byte {
	members, partitions, err := message.ReadGroup(input)
	var dealt map[string][]sdk.TopicPartition
	if err == nil {
		dealt, err = g.client.assignor.Assign(members, partitions)
	}
	if err != nil {
		return g.said(nil, err)
	}
	g.output = message.AppendDealt(g.output[:0], dealt)
	return g.output
}
