package sdktest

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/millrace/millrace/sdk"
)

const modules = "../../plugins/wasm/testdata/"

// wrongly is a serializer of a type of its own that does not do what the module does.
type wrongly int32

func init() {
	sdk.Serializers[labelled]().Register("labelled", func(sdk.Config) (sdk.Serializer[labelled], error) { return label{}, nil })
	sdk.Deserializers[labelled]().Register("labelled", func(sdk.Config) (sdk.Deserializer[labelled], error) { return label{}, nil })
	sdk.Serializers[wrongly]().Register("wrongly", func(sdk.Config) (sdk.Serializer[wrongly], error) { return wrong{}, nil })
	sdk.Deserializers[wrongly]().Register("wrongly", func(sdk.Config) (sdk.Deserializer[wrongly], error) { return wrong{}, nil })
}

// labelled is a temperature whose native deserializer goes by the header that the serializer wrote.
type labelled int32

type label struct{}

func (label) Append(dst []byte, _ string, headers *[]sdk.Header, v labelled) ([]byte, error) {
	*headers = append(*headers, sdk.Header{Key: "unit", Value: []byte("mC")})
	return binary.BigEndian.AppendUint32(dst, uint32(v)), nil
}

func (label) Decode(_ string, headers []sdk.Header, data []byte) (labelled, error) {
	if len(data) != 4 {
		return 0, errors.New("it has not four bytes")
	}
	v := labelled(binary.BigEndian.Uint32(data))
	if len(headers) > 0 && headers[len(headers)-1].Key == "unit" {
		v += 1000
	}
	return v, nil
}

func TestDeserializersAreShownWhatTheSerializerWrote(t *testing.T) {
	var l listener
	compareDeserializers(&l, SerializerSubject[labelled]{Name: "labelled", Module: modules + "serializer.wasm"}, 7)
	found(t, &l, `"\x00\x00\x00\a": the module makes 7 of it, and the native deserializer 1007`)
	l.heard = nil
	compareDeserializers(&l, SerializerSubject[wrongly]{Name: "wrongly", Module: modules + "serializer.wasm"}, 1) // which the module cannot read
	found(t, &l, `the deserializer, "\x01": `)
}

type wrong struct{}

func (wrong) Append(dst []byte, _ string, _ *[]sdk.Header, v wrongly) ([]byte, error) {
	return append(dst, byte(v)), nil
}

func (wrong) Decode(_ string, _ []sdk.Header, data []byte) (wrongly, error) {
	return wrongly(len(data)), nil
}

func found(t *testing.T, l *listener, want string) {
	t.Helper()
	if all := strings.Join(l.heard, "\n"); !strings.Contains(all, want) {
		t.Errorf("the suite found %.300q, want %q", all, want)
	}
}

func TestModulesThatAnswerOtherwise(t *testing.T) {
	var l listener
	comparePartitioners(&l, PartitionerSubject{New: func(sdk.Config) (sdk.Partitioner, error) { return &hashed{}, nil }, Module: modules + "partitioner.wasm"})
	found(t, &l, "the module chooses")
	l.heard = nil
	compareSerializers(&l, SerializerSubject[wrongly]{Name: "wrongly", Module: modules + "serializer.wasm"}, 1, 2)
	found(t, &l, "and the native serializer")
	l.heard = nil
	compareDeserializers(&l, SerializerSubject[wrongly]{Name: "wrongly", Module: modules + "serializer.wasm"}, 1, 2)
	found(t, &l, "the native deserializer")
	l.heard = nil
	checkAssignor(&l, AssignorSubject{New: func(sdk.Config) (sdk.Assignor, error) { return greedy{}, nil }, Module: modules + "assignor.wasm"})
	found(t, &l, "and the native assignor greedy")
	found(t, &l, "the module deals")
	l.heard = nil
	comparePartitioners(&l, PartitionerSubject{New: func(sdk.Config) (sdk.Partitioner, error) { return &hashed{}, nil }, Module: modules + "serializer.wasm"})
	found(t, &l, "load the module")
}

// greedy gives all partitions to the first member, and what is wrong with that as it says.
type greedy struct{ twice, beyond, keeps bool }

func (greedy) Name() string                                   { return "greedy" }
func (greedy) Protocol() sdk.RebalanceProtocol                { return sdk.Eager }
func (greedy) UserData([]string, []sdk.TopicPartition) []byte { return nil }

func (g greedy) Assign(members []sdk.GroupMember, partitions map[string]int32) (map[string][]sdk.TopicPartition, error) {
	dealt := map[string][]sdk.TopicPartition{}
	for _, topic := range members[0].Topics {
		for p := range partitions[topic] {
			if g.keeps && p > 0 {
				break
			}
			if g.beyond {
				p++
			}
			list := append(dealt[members[0].ID], sdk.TopicPartition{Topic: topic, Partition: p})
			if g.twice {
				list = append(list, list[len(list)-1])
			}
			dealt[members[0].ID] = list
		}
	}
	return dealt, nil
}

func TestAssignors(t *testing.T) {
	for want, g := range map[string]greedy{"away twice": {twice: true}, "which there is not": {beyond: true}, "to nobody": {keeps: true}} {
		var l listener
		checkAssignor(&l, AssignorSubject{New: func(sdk.Config) (sdk.Assignor, error) { return g, nil }})
		found(t, &l, want)
	}
}
