package console

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/millrace/millrace/sdk/wire"
)

// coordinator prints the records of __consumer_offsets as JSON: those of committed
// offsets, or else those of groups. Other records are passed over. Kafka's classes
// print nothing between two records; lines puts each on a line of its own.
type coordinator struct{ offsets, lines bool }

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
	GroupInstanceID  *string `json:"groupInstanceId"`
	ClientID         string  `json:"clientId"`
	ClientHost       string  `json:"clientHost"`
	RebalanceTimeout *int32  `json:"rebalanceTimeout,omitempty"`
	SessionTimeout   int32   `json:"sessionTimeout"`
	Subscription     any     `json:"subscription"` // base64, or what it means
	Assignment       any     `json:"assignment"`
}

// Write prints one record, or nothing.
func (c coordinator) Write(w *bufio.Writer, r *kgo.Record) error {
	key, value, err := c.decode(r.Key, r.Value)
	if key == nil || err != nil {
		return err
	}
	line := struct {
		Key   *typed `json:"key"`
		Value *typed `json:"value"`
	}{key, value}
	text, err := encode(line)
	if err != nil {
		return err
	}
	w.Write(text) //nolint:errcheck // the writer remembers
	if c.lines {
		w.WriteByte('\n') //nolint:errcheck // the writer remembers
	}
	return nil
}

// encode is JSON as Java's library writes it: <, > and & as they are.
func encode(v any) ([]byte, error) {
	var out bytes.Buffer
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	err := encoder.Encode(v)
	return bytes.TrimSuffix(out.Bytes(), []byte("\n")), err
}

// DecodeCoordinator is the text of a record of __consumer_offsets, for a dump: of a committed
// offset, of a classic or of a consumer group.
func DecodeCoordinator(key, value []byte) (keyText, valueText string, ok bool) {
	for _, c := range []coordinator{{offsets: true}, {}} {
		k, v, err := c.decode(key, value)
		if k != nil && err == nil {
			return dumped(k, v)
		}
	}
	if k, v, err := memberRecord(key, value); k != nil && err == nil {
		return dumped(k, v)
	}
	return "", "", false
}

// DecodeMetadata is the text of an entry of the metadata log, for a dump. Its records are
// JSON, one after the other.
func DecodeMetadata(key, value []byte) (keyText, valueText string, ok bool) {
	if string(key) != "entry" {
		return "", "", false
	}
	return string(key), strings.ReplaceAll(string(value), "\n", " "), true
}

// DecodeTransaction is the text of a record of __transaction_state, for a dump.
func DecodeTransaction(key, value []byte) (keyText, valueText string, ok bool) {
	if len(key) < 2 || key[0] != 0 || key[1] != 0 {
		return "", "", false
	}
	k, v, err := transactionRecord(key, value)
	if err != nil {
		return "", "", false
	}
	kind := int16(0)
	return dumped(&typed{Type: &kind, Data: k}, v)
}

// dumped is a record as kafka-dump-log prints it: there, the numbers that say what is in
// key and value are texts.
func dumped(k, v *typed) (keyText, valueText string, ok bool) {
	type word struct {
		Type    string `json:"type,omitempty"`
		Version string `json:"version,omitempty"`
		Data    any    `json:"data"`
	}
	keyJSON, err := encode(word{Type: strconv.Itoa(int(*k.Type)), Data: k.Data})
	if err != nil {
		return "", "", false
	}
	valueJSON := []byte("<DELETE>")
	if v != nil {
		data := v.Data
		if group, isGroup := data.(groupValue); isGroup {
			data = readable(group)
		}
		if valueJSON, err = encode(word{Version: strconv.Itoa(int(*v.Version)), Data: data}); err != nil {
			return "", "", false
		}
	}
	return string(keyJSON), string(valueJSON), true
}

// decode reads a record of the kind that c prints; without a key it is of another.
func (c coordinator) decode(key, value []byte) (*typed, *typed, error) {
	if len(key) < 2 {
		return nil, nil, nil
	}
	kind := int16(key[0])<<8 | int16(key[1])
	var data any
	var decoded *typed
	var err error
	switch {
	case c.offsets && (kind == 0 || kind == 1):
		data, decoded, err = offsetRecord(key, value)
	case !c.offsets && kind == 2:
		data, decoded, err = groupRecord(key, value)
	default:
		return nil, nil, nil
	}
	return &typed{Type: &kind, Data: data}, decoded, err
}

var errValue = errors.New("a value does not have in it what it says")

// honest looks for what kmsg does not: that a value of a version that has tags has as many as it says.
func honest(value []byte, flexible int16, fields string) bool {
	return len(value) < 2 || int16(binary.BigEndian.Uint16(value)) < flexible || wire.Fits(value[2:], fields)
}

func offsetRecord(keyBytes, valueBytes []byte) (any, *typed, error) {
	var key kmsg.OffsetCommitKey
	if err := key.ReadFrom(keyBytes); err != nil {
		return nil, nil, err
	}
	data := offsetKey{key.Group, key.Topic, key.Partition}
	if valueBytes == nil {
		return data, nil, nil
	}
	if !honest(valueBytes, 4, wire.OffsetValue) {
		return nil, nil, errValue
	}
	var v kmsg.OffsetCommitValue
	if err := v.ReadFrom(valueBytes); err != nil {
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

func groupRecord(keyBytes, valueBytes []byte) (any, *typed, error) {
	var key kmsg.GroupMetadataKey
	if err := key.ReadFrom(keyBytes); err != nil {
		return nil, nil, err
	}
	if valueBytes == nil {
		return groupKey{key.Group}, nil, nil
	}
	if !honest(valueBytes, 4, wire.GroupValue) {
		return nil, nil, errValue
	}
	var v kmsg.GroupMetadataValue
	if err := v.ReadFrom(valueBytes); err != nil {
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
