package console

import (
	"testing"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// The texts are what Apache Kafka 4.3.1 prints of such records.
func TestDecodeConsumerGroups(t *testing.T) {
	instance, assignor, pattern := "i", "range", "a.*"
	shall := assign.Topic{Partitions: []int32{0, 1}}
	shall.ID[15] = 1
	since := shall
	since.Epochs = []int32{3, 9}
	for name, test := range map[string]struct {
		key        record.Key
		value      interface{ Append([]byte) []byte }
		data, text string
	}{
		"group": {
			record.Key{Kind: record.KindGroup, Group: "g"}, &record.Group{Epoch: 7, Hash: -2},
			`{"type":"3","data":{"groupId":"g"}}`, `{"version":"0","data":{"epoch":7,"metadataHash":-2}}`,
		},
		"group without a hash": {
			record.Key{Kind: record.KindGroup, Group: "g"}, &record.Group{Epoch: 7},
			`{"type":"3","data":{"groupId":"g"}}`, `{"version":"0","data":{"epoch":7}}`,
		},
		"member": {
			record.Key{Kind: record.KindMember, Group: "g", Of: "m"},
			&record.Member{Instance: &instance, ClientID: "c", ClientHost: "/h", Topics: []string{"t"}, Pattern: &pattern, RebalanceTimeoutMillis: 5000, Assignor: &assignor},
			`{"type":"5","data":{"groupId":"g","memberId":"m"}}`,
			`{"version":"0","data":{"instanceId":"i","rackId":null,"clientId":"c","clientHost":"/h","subscribedTopicNames":["t"],"subscribedTopicRegex":"a.*","rebalanceTimeoutMs":5000,"serverAssignor":"range"}}`,
		},
		"member that speaks the classic protocol": {
			record.Key{Kind: record.KindMember, Group: "g", Of: "m"},
			&record.Member{ClientID: "c", ClientHost: "/h", Topics: []string{}, RebalanceTimeoutMillis: -1, Classic: &record.Classic{SessionTimeoutMillis: 45000, Protocols: []record.Protocol{{Name: "range", Metadata: []byte{1, 2, 3}}}}},
			`{"type":"5","data":{"groupId":"g","memberId":"m"}}`,
			`{"version":"0","data":{"instanceId":null,"rackId":null,"clientId":"c","clientHost":"/h","subscribedTopicNames":[],"subscribedTopicRegex":null,"rebalanceTimeoutMs":-1,"serverAssignor":null,` +
				`"classicMemberMetadata":{"sessionTimeoutMs":45000,"supportedProtocols":[{"name":"range","metadata":"AQID"}]}}}`,
		},
		"target": {
			record.Key{Kind: record.KindTarget, Group: "g"}, &record.Target{Epoch: 9, At: 1000},
			`{"type":"6","data":{"groupId":"g"}}`, `{"version":"0","data":{"assignmentEpoch":9,"assignmentTimestamp":1000}}`,
		},
		"target of a member": {
			record.Key{Kind: record.KindTargetMember, Group: "g", Of: "m"}, &record.TargetMember{Partitions: assign.Assignment{shall}},
			`{"type":"7","data":{"groupId":"g","memberId":"m"}}`, `{"version":"0","data":{"topicPartitions":[{"topicId":"AAAAAAAAAAAAAAAAAAAAAQ","partitions":[0,1]}]}}`,
		},
		"what a member has": {
			record.Key{Kind: record.KindCurrent, Group: "g", Of: "m"}, &record.Current{Epoch: 9, Previous: 8, State: 1, Assigned: assign.Assignment{since}},
			`{"type":"8","data":{"groupId":"g","memberId":"m"}}`,
			`{"version":"0","data":{"memberEpoch":9,"previousMemberEpoch":8,"state":1,"assignedPartitions":[{"topicId":"AAAAAAAAAAAAAAAAAAAAAQ","partitions":[0,1],"assignmentEpochs":[3,9]}],"partitionsPendingRevocation":[]}}`,
		},
		"pattern": {
			record.Key{Kind: record.KindPattern, Group: "g", Of: "a.*"}, &record.Pattern{Topics: []string{"a1", "a2"}, Version: 12, At: 34},
			`{"type":"16","data":{"groupId":"g","regularExpression":"a.*"}}`, `{"version":"0","data":{"topics":["a1","a2"],"version":12,"timestamp":34}}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			value := test.value.Append(nil)
			if k, v, ok := DecodeCoordinator(test.key.Append(nil), value); !ok || k != test.data || v != test.text {
				t.Errorf("%v:\n%s\n%s\nwant\n%s\n%s", ok, k, v, test.data, test.text)
			}
			if _, v, ok := DecodeCoordinator(test.key.Append(nil), nil); !ok || v != "<DELETE>" {
				t.Errorf("deleted: %v %s", ok, v)
			}
			if _, _, ok := DecodeCoordinator(test.key.Append(nil), value[:len(value)-1]); ok {
				t.Error("a damaged value is read")
			}
		})
	}
}

func TestDecodeMetadata(t *testing.T) {
	k, v, ok := DecodeMetadata([]byte("entry"), []byte("{\"type\":\"a\"}\n{\"type\":\"b\"}"))
	if !ok || k != "entry" || v != `{"type":"a"} {"type":"b"}` {
		t.Errorf("%v %s %s", ok, k, v)
	}
	if _, _, ok := DecodeMetadata([]byte("conf-change"), []byte{8, 1}); ok {
		t.Error("a change of raft's is taken for records")
	}
}
