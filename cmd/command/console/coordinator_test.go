package console

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/engine/fuzz"
)

// The texts are what Apache Kafka 4.3.1 printed for such records.
const (
	offsetText = `{"key":{"type":1,"data":{"group":"readers","topic":"lines","partition":0}},"value":{"version":4,"data":{"offset":3,"leaderEpoch":-1,` +
		`"metadata":"","commitTimestamp":1795231435782,"topicId":"8sAFbGs2RtqVTDpC7F6Kxw"}}}`
	groupText = `{"key":{"type":2,"data":{"group":"readers"}},"value":{"version":3,"data":{"protocolType":"consumer","generation":1,"protocol":"range",` +
		`"leader":"c-1","currentStateTimestamp":1795231995609,"members":[{"memberId":"c-1","groupInstanceId":null,"clientId":"c","clientHost":"/127.0.0.1",` +
		`"rebalanceTimeout":300000,"sessionTimeout":45000,"subscription":"AAM=","assignment":"AAMA"}]}}}`
	deletedText = `{"key":{"type":2,"data":{"group":"readers"}},"value":null}`
)

// coordinatorRecords are the records that those texts are of.
func coordinatorRecords(t testing.TB) (offset, group, deleted *kgo.Record) {
	t.Helper()
	offsetKey := kmsg.OffsetCommitKey{Version: 1, Group: "readers", Topic: "lines"}
	offsetValue := kmsg.OffsetCommitValue{Version: 4, Offset: 3, LeaderEpoch: -1, CommitTimestamp: 1795231435782}
	id, err := base64.RawURLEncoding.DecodeString("8sAFbGs2RtqVTDpC7F6Kxw")
	if err != nil {
		t.Fatal(err)
	}
	copy(offsetValue.TopicID[:], id)
	groupKey := kmsg.GroupMetadataKey{Version: 2, Group: "readers"}
	member := kmsg.GroupMetadataValueMember{MemberID: "c-1", ClientID: "c", ClientHost: "/127.0.0.1", RebalanceTimeoutMillis: 300000, SessionTimeoutMillis: 45000,
		Subscription: []byte{0, 3}, Assignment: []byte{0, 3, 0}}
	groupValue := kmsg.GroupMetadataValue{Version: 3, ProtocolType: "consumer", Generation: 1, Protocol: kmsg.StringPtr("range"), Leader: kmsg.StringPtr("c-1"),
		CurrentStateTimestamp: 1795231995609, Members: []kmsg.GroupMetadataValueMember{member}}
	return &kgo.Record{Key: offsetKey.AppendTo(nil), Value: offsetValue.AppendTo(nil)},
		&kgo.Record{Key: groupKey.AppendTo(nil), Value: groupValue.AppendTo(nil)}, &kgo.Record{Key: groupKey.AppendTo(nil)}
}

// Kafka's classes print nothing between records; their short names print lines.
func TestCoordinatorFormatters(t *testing.T) {
	offset, group, deleted := coordinatorRecords(t)
	other := &kgo.Record{Key: []byte{0, 3, 0}}
	for class, want := range map[string]string{
		"org.apache.kafka.tools.consumer.OffsetsMessageFormatter":       offsetText,
		"org.apache.kafka.tools.consumer.GroupMetadataMessageFormatter": groupText + deletedText,
		"OffsetsMessageFormatter":                                       offsetText + "\n",
		"GroupMetadataMessageFormatter":                                 groupText + "\n" + deletedText + "\n",
	} {
		formatter, err := NewFormatter(class, nil)
		if err != nil {
			t.Fatal(err)
		}
		var out bytes.Buffer
		w := bufio.NewWriter(&out)
		for _, r := range []*kgo.Record{offset, group, deleted, other, {}} {
			if err := formatter.Write(w, r); err != nil {
				t.Fatal(err)
			}
		}
		if got := flushed(w, &out); got != want {
			t.Errorf("%s printed\n%s\nwant\n%s", class, got, want)
		}
	}
}

func TestDecodeCoordinator(t *testing.T) {
	_, _, deleted := coordinatorRecords(t)
	key, value, ok := DecodeCoordinator(deleted.Key, deleted.Value)
	if !ok || key != `{"type":"2","data":{"group":"readers"}}` || value != "<DELETE>" {
		t.Errorf("%s %s %t", key, value, ok)
	}
	if _, _, ok := DecodeCoordinator([]byte("plain"), []byte("record")); ok {
		t.Error("a record of another topic was decoded")
	}
}

func TestDecodeTransaction(t *testing.T) {
	k := kmsg.TxnMetadataKey{TransactionalID: "tx"}
	empty, began := kmsg.NewTxnMetadataValue(), kmsg.NewTxnMetadataValue()
	empty.Version, began.Version = 1, 1
	began.ProducerID, began.ProducerEpoch, began.TimeoutMillis, began.State, began.ClientTransactionVersion, began.PreviousProducerID = 7, 2, 60000, 1, 2, 6
	began.Topics = []kmsg.TxnMetadataValueTopic{{Topic: "orders", Partitions: []int32{0, 2}}}
	for want, v := range map[string][]byte{
		`{"version":"1","data":{"producerId":0,"producerEpoch":0,"transactionTimeoutMs":0,"transactionStatus":0,"transactionPartitions":null,` +
			`"transactionLastUpdateTimestampMs":0,"transactionStartTimestampMs":0}}`: empty.AppendTo(nil),
		`{"version":"1","data":{"producerId":7,"previousProducerId":6,"producerEpoch":2,"transactionTimeoutMs":60000,"transactionStatus":1,` +
			`"transactionPartitions":[{"topic":"orders","partitionIds":[0,2]}],"transactionLastUpdateTimestampMs":0,"transactionStartTimestampMs":0,` +
			`"clientTransactionVersion":2}}`: began.AppendTo(nil),
		"<DELETE>": nil,
	} {
		key, value, ok := DecodeTransaction(k.AppendTo(nil), v)
		if !ok || key != `{"type":"0","data":{"transactionalId":"tx"}}` || value != want {
			t.Errorf("decoded %s %s %t, want %s", key, value, ok, want)
		}
	}
	if _, _, ok := DecodeTransaction([]byte("plain"), []byte("record")); ok {
		t.Error("a record of another topic was decoded")
	}
}

func FuzzTransaction(f *testing.F) {
	v := kmsg.NewTxnMetadataValue()
	f.Add([]byte{0, 0, 0, 1, 'x'}, v.AppendTo(nil))
	fuzz.Run(f, func(t *testing.T, key, value []byte) {
		if k, v, ok := DecodeTransaction(key, value); ok && (k == "" || v == "") {
			t.Fatalf("decoded into nothing: %q %q", k, v)
		}
	})
}

func FuzzCoordinator(f *testing.F) {
	for _, r := range []func() *kgo.Record{
		func() *kgo.Record { r, _, _ := coordinatorRecords(f); return r }, func() *kgo.Record { _, r, _ := coordinatorRecords(f); return r },
	} {
		f.Add(r().Key, r().Value)
	}
	fuzz.Run(f, func(t *testing.T, key, value []byte) {
		if k, v, ok := DecodeCoordinator(key, value); ok && (k == "" || v == "") {
			t.Fatalf("decoded into nothing: %q %q", k, v)
		}
	})
}
