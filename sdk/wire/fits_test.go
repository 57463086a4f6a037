package wire

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What kmsg writes fits, with tags and without; each end that is cut off does not, and neither does a number of tags
// that are not there.
func TestFits(t *testing.T) {
	name, protocol := "leader", "range"
	offset := kmsg.OffsetCommitValue{Version: 4, Offset: 7, LeaderEpoch: 3, Metadata: "some", CommitTimestamp: 9, TopicID: [16]byte{1}}
	group := kmsg.GroupMetadataValue{Version: 4, ProtocolType: "consumer", Generation: 3, Protocol: &protocol, Leader: &name}
	for range 2 {
		group.Members = append(group.Members, kmsg.GroupMetadataValueMember{MemberID: "m", InstanceID: &name, ClientID: "c", ClientHost: "/h", Subscription: []byte("s"), Assignment: []byte("a")})
	}
	transaction := kmsg.NewTxnMetadataValue()
	transaction.Version, transaction.ClientTransactionVersion = 1, 2
	transaction.Topics = []kmsg.TxnMetadataValueTopic{{Topic: "a", Partitions: []int32{1, 2}}, {Topic: "b"}}
	none := kmsg.NewTxnMetadataValue()
	none.Version = 1
	for what, test := range map[string]struct {
		value  []byte
		fields string
	}{
		"an offset":            {offset.AppendTo(nil), OffsetValue},
		"a group":              {group.AppendTo(nil), GroupValue},
		"a transaction":        {transaction.AppendTo(nil), TransactionValue},
		"one that wrote never": {none.AppendTo(nil), TransactionValue},
	} {
		t.Run(what, func(t *testing.T) {
			p := test.value[2:]
			r := NewReader(p)
			if r.structure(test.fields); r.End() != nil {
				t.Fatalf("%x is not passed over: %d bytes are left", p, len(r.rest))
			}
			for i := range p {
				if Fits(p[:i], test.fields) {
					t.Errorf("%d of %d bytes are enough", i, len(p))
				}
			}
		})
	}
	if Fits([]byte{0, 1, 0x7f, 5, 0}, "2") {
		t.Error("127 tags are believed")
	}
}
