package console

import (
	"bufio"
	"encoding/base64"
	"encoding/json"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// coordinator prints the records of __consumer_offsets as JSON, one a line: those
// of committed offsets, or else those of groups. Other records are passed over.
type coordinator struct{ offsets bool }

// typed is a key or value with the number that says what is in it.
type typed struct {
	Type    *int16 `json:"type,omitempty"`
	Version *int16 `json:"version,omitempty"`
	Data    any    `json:"data"`
}

type offsetKey struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
}

type offsetValue struct {
	Offset          int64   `json:"offset"`
	LeaderEpoch     *int32  `json:"leaderEpoch,omitempty"`
	Metadata        string  `json:"metadata"`
	CommitTimestamp int64   `json:"commitTimestamp"`
	ExpireTimestamp *int64  `json:"expireTimestamp,omitempty"`
	TopicID         *string `json:"topicId,omitempty"`
}

type groupKey struct {
	Group string `json:"group"`
}

type groupValue struct {
	ProtocolType          string        `json:"protocolType"`
	Generation            int32         `json:"generation"`
	Protocol              *string       `json:"protocol"`
	Leader                *string       `json:"leader"`
	CurrentStateTimestamp *int64        `json:"currentStateTimestamp,omitempty"`
	Members               []groupMember `json:"members"`
}

type groupMember struct {
	MemberID         string  `json:"memberId"`
	GroupInstanceID  *string `json:"groupInstanceId,omitempty"`
	ClientID         string  `json:"clientId"`
	ClientHost       string  `json:"clientHost"`
	RebalanceTimeout *int32  `json:"rebalanceTimeout,omitempty"`
	SessionTimeout   int32   `json:"sessionTimeout"`
	Subscription     string  `json:"subscription"`
	Assignment       string  `json:"assignment"`
}

// Write prints one record, or nothing.
func (c coordinator) Write(w *bufio.Writer, r *kgo.Record) error {
	if len(r.Key) < 2 {
		return nil
	}
	kind := int16(r.Key[0])<<8 | int16(r.Key[1])
	line := struct {
		Key   typed  `json:"key"`
		Value *typed `json:"value"`
	}{Key: typed{Type: &kind}}
	var err error
	switch {
	case c.offsets && (kind == 0 || kind == 1):
		line.Key.Data, line.Value, err = offsetRecord(r)
	case !c.offsets && kind == 2:
		line.Key.Data, line.Value, err = groupRecord(r)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	return encoder.Encode(line)
}

func offsetRecord(r *kgo.Record) (any, *typed, error) {
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(r.Key); err != nil {
		return nil, nil, err
	}
	data := offsetKey{key.Group, key.Topic, key.Partition}
	if r.Value == nil {
		return data, nil, nil
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(r.Value); err != nil {
		return nil, nil, err
	}
	value := offsetValue{Offset: v.Offset, Metadata: v.Metadata, CommitTimestamp: v.CommitTimestamp}
	if v.Version >= 3 {
		value.LeaderEpoch = &v.LeaderEpoch
	}
	if v.Version == 1 {
		value.ExpireTimestamp = &v.ExpireTimestamp
	}
	if v.Version >= 4 {
		id := base64.RawURLEncoding.EncodeToString(v.TopicID[:])
		value.TopicID = &id
	}
	return data, &typed{Version: &v.Version, Data: value}, nil
}

func groupRecord(r *kgo.Record) (any, *typed, error) {
	var key kmsg.GroupMetadataKey
	if err := key.ReadFrom(r.Key); err != nil {
		return nil, nil, err
	}
	if r.Value == nil {
		return groupKey{key.Group}, nil, nil
	}
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(r.Value); err != nil {
		return nil, nil, err
	}
	value := groupValue{ProtocolType: v.ProtocolType, Generation: v.Generation, Protocol: v.Protocol, Leader: v.Leader, Members: []groupMember{}}
	if v.Version >= 2 {
		value.CurrentStateTimestamp = &v.CurrentStateTimestamp
	}
	for _, m := range v.Members {
		one := groupMember{MemberID: m.MemberID, ClientID: m.ClientID, ClientHost: m.ClientHost, SessionTimeout: m.SessionTimeoutMillis,
			Subscription: base64.StdEncoding.EncodeToString(m.Subscription), Assignment: base64.StdEncoding.EncodeToString(m.Assignment)}
		if v.Version >= 1 {
			one.RebalanceTimeout = &m.RebalanceTimeoutMillis
		}
		if v.Version >= 3 {
			one.GroupInstanceID = m.InstanceID
		}
		value.Members = append(value.Members, one)
	}
	return groupKey{key.Group}, &typed{Version: &v.Version, Data: value}, nil
}
