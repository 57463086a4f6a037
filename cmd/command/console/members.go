package console

import (
	"encoding/base64"

	"github.com/millrace/millrace/engine/group/assign"
	"github.com/millrace/millrace/engine/group/record"
)

// What only a dump shows of consumer groups (KIP-848): one record each for the group, its members, what they shall have
// and what they have. The names are those of Kafka's schemas; a field that was left out because it has its default is
// left out here.

type memberKey struct {
	GroupID           string  `json:"groupId"`
	MemberID          *string `json:"memberId,omitempty"`
	RegularExpression *string `json:"regularExpression,omitempty"`
}

type groupEpoch struct {
	Epoch        int32 `json:"epoch"`
	MetadataHash int64 `json:"metadataHash,omitempty"`
}

type memberMetadata struct {
	InstanceID           *string        `json:"instanceId"`
	RackID               *string        `json:"rackId"`
	ClientID             string         `json:"clientId"`
	ClientHost           string         `json:"clientHost"`
	SubscribedTopicNames []string       `json:"subscribedTopicNames"`
	SubscribedTopicRegex *string        `json:"subscribedTopicRegex"`
	RebalanceTimeout     int32          `json:"rebalanceTimeoutMs"`
	ServerAssignor       *string        `json:"serverAssignor"`
	Classic              *classicMember `json:"classicMemberMetadata,omitempty"`
}

type classicMember struct {
	SessionTimeout     int32             `json:"sessionTimeoutMs"`
	SupportedProtocols []classicProtocol `json:"supportedProtocols"`
}

type classicProtocol struct {
	Name     string `json:"name"`
	Metadata string `json:"metadata"`
}

type targetEpoch struct {
	Epoch     int32 `json:"assignmentEpoch"`
	Timestamp int64 `json:"assignmentTimestamp,omitempty"`
}

type targetMember struct {
	TopicPartitions []idPartitions `json:"topicPartitions"`
}

type currentMember struct {
	MemberEpoch                 int32          `json:"memberEpoch"`
	PreviousMemberEpoch         int32          `json:"previousMemberEpoch"`
	State                       int8           `json:"state"`
	AssignedPartitions          []idPartitions `json:"assignedPartitions"`
	PartitionsPendingRevocation []idPartitions `json:"partitionsPendingRevocation"`
}

type idPartitions struct {
	TopicID    string   `json:"topicId"`
	Partitions []int32  `json:"partitions"`
	Epochs     *[]int32 `json:"assignmentEpochs,omitempty"`
}

type matchedTopics struct {
	Topics    []string `json:"topics"`
	Version   int64    `json:"version"`
	Timestamp int64    `json:"timestamp"`
}

// memberRecord reads a record of a consumer group; without a key it is of something else.
func memberRecord(keyBytes, valueBytes []byte) (*typed, *typed, error) {
	key, known, err := record.ReadKey(keyBytes)
	if !known || err != nil || key.Kind == record.KindPartitions {
		return nil, nil, err
	}
	kind, data := int16(key.Kind), memberKey{GroupID: key.Group}
	switch key.Kind {
	case record.KindMember, record.KindTargetMember, record.KindCurrent:
		data.MemberID = &key.Of
	case record.KindPattern:
		data.RegularExpression = &key.Of
	}
	k := &typed{Type: &kind, Data: data}
	if valueBytes == nil {
		return k, nil, nil
	}
	value, err := memberValue(key.Kind, valueBytes)
	if err != nil {
		return nil, nil, err
	}
	version := int16(0)
	return k, &typed{Version: &version, Data: value}, nil
}

func memberValue(kind record.Kind, p []byte) (any, error) {
	switch kind {
	case record.KindGroup:
		var v record.Group
		err := v.Read(p)
		return groupEpoch{v.Epoch, v.Hash}, err
	case record.KindMember:
		var v record.Member
		err := v.Read(p)
		return newMemberMetadata(&v), err
	case record.KindTarget:
		var v record.Target
		err := v.Read(p)
		return targetEpoch{v.Epoch, v.At}, err
	case record.KindTargetMember:
		var v record.TargetMember
		err := v.Read(p)
		return targetMember{byID(v.Partitions)}, err
	case record.KindCurrent:
		var v record.Current
		err := v.Read(p)
		return currentMember{v.Epoch, v.Previous, v.State, byID(v.Assigned), byID(v.Revoking)}, err
	default:
		var v record.Pattern
		err := v.Read(p)
		return matchedTopics{v.Topics, v.Version, v.At}, err
	}
}

func newMemberMetadata(v *record.Member) memberMetadata {
	m := memberMetadata{
		InstanceID: v.Instance, RackID: v.Rack, ClientID: v.ClientID, ClientHost: v.ClientHost, SubscribedTopicNames: v.Topics,
		SubscribedTopicRegex: v.Pattern, RebalanceTimeout: v.RebalanceTimeoutMillis, ServerAssignor: v.Assignor,
	}
	if v.Classic == nil {
		return m
	}
	m.Classic = &classicMember{v.Classic.SessionTimeoutMillis, []classicProtocol{}}
	for _, p := range v.Classic.Protocols {
		m.Classic.SupportedProtocols = append(m.Classic.SupportedProtocols, classicProtocol{p.Name, base64.StdEncoding.EncodeToString(p.Metadata)})
	}
	return m
}

func byID(a assign.Assignment) []idPartitions {
	all := []idPartitions{}
	for i := range a {
		one := idPartitions{TopicID: base64.RawURLEncoding.EncodeToString(a[i].ID[:]), Partitions: append([]int32{}, a[i].Partitions...)}
		if a[i].Epochs != nil {
			one.Epochs = &a[i].Epochs
		}
		all = append(all, one)
	}
	return all
}
