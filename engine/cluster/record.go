package cluster

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"github.com/millrace/millrace/engine/security/acl"
)

// Record is one change of the cluster. FORMAT.md shows each as text.
type Record interface {
	// kind is the type that the record's text begins with.
	kind() string
	// apply makes the change. An error means that the record does not fit what came
	// before it: the log is damaged, or was written by something else.
	apply(d *draft) error
}

// The record kinds. Every field is part of version 0 of its kind.
type (
	// ClusterRecord gives the cluster its id. It is the first record.
	ClusterRecord struct {
		ID string `json:"id"`
	}
	// FeatureRecord finalizes a feature at a level; level 0 takes it away.
	FeatureRecord struct {
		Name  string `json:"name"`
		Level int16  `json:"level"`
	}
	// BrokerRecord registers a broker. When it begins a new life of a known broker
	// (another incarnation), the broker leads from now on, under the next leader epoch,
	// what it led before.
	BrokerRecord struct {
		ID          int32  `json:"id"`
		Epoch       int64  `json:"epoch"`
		Incarnation ID     `json:"incarnation"`
		Host        string `json:"host"`
		Port        int32  `json:"port"`
		Rack        string `json:"rack,omitempty"`
		Directories []ID   `json:"directories,omitempty"`
	}
	// TopicRecord creates a topic with its partitions and settings.
	TopicRecord struct {
		Name       string            `json:"name"`
		ID         ID                `json:"id"`
		Internal   bool              `json:"internal,omitempty"`
		Partitions []Partition       `json:"partitions"`
		Configs    map[string]string `json:"configs,omitempty"`
	}
	// PartitionsRecord adds partitions behind the ones that a topic has.
	PartitionsRecord struct {
		Topic ID `json:"topic"`
		// First is the index of the first new partition: how many the topic has.
		First      int32       `json:"first"`
		Partitions []Partition `json:"partitions"`
	}
	// PartitionRecord replaces one partition: another leader, other replicas, another epoch.
	PartitionRecord struct {
		Topic     ID        `json:"topic"`
		Index     int32     `json:"index"`
		Partition Partition `json:"partition"`
	}
	// RemoveTopicRecord removes a topic and all that belongs to it.
	RemoveTopicRecord struct {
		ID ID `json:"id"`
	}
	// ConfigRecord sets settings of a topic, of a broker or of a group; null takes one away.
	ConfigRecord struct {
		Resource ConfigKind         `json:"resource"`
		Name     string             `json:"name"`
		Values   map[string]*string `json:"values"`
	}
	// ProducerIDsRecord gives a broker all producer ids from the former Next up to this one.
	ProducerIDsRecord struct {
		Broker      int32 `json:"broker"`
		BrokerEpoch int64 `json:"brokerEpoch"`
		Next        int64 `json:"next"`
	}
	// ACLRecord adds a binding of the authorizer.
	ACLRecord struct{ acl.Binding }
	// RemoveACLRecord takes a binding away.
	RemoveACLRecord struct{ acl.Binding }
	// ScramCredentialRecord sets what is kept of a user's password for one SCRAM mechanism.
	ScramCredentialRecord struct {
		User       string `json:"user"`
		Mechanism  string `json:"mechanism"`
		Salt       []byte `json:"salt"`
		StoredKey  []byte `json:"storedKey"`
		ServerKey  []byte `json:"serverKey"`
		Iterations int32  `json:"iterations"`
	}
	// RemoveScramCredentialRecord takes it away.
	RemoveScramCredentialRecord struct {
		User      string `json:"user"`
		Mechanism string `json:"mechanism"`
	}
)

// ConfigKind is what a setting belongs to.
type ConfigKind string

// The kinds of things that have settings in the metadata log.
const (
	TopicConfig  ConfigKind = "topic"
	BrokerConfig ConfigKind = "broker"
	GroupConfig  ConfigKind = "group"
)

// version is the version of every kind so far.
const version = 0

func (*ClusterRecord) kind() string     { return "cluster" }
func (*FeatureRecord) kind() string     { return "feature" }
func (*BrokerRecord) kind() string      { return "broker" }
func (*TopicRecord) kind() string       { return "topic" }
func (*PartitionsRecord) kind() string  { return "partitions" }
func (*PartitionRecord) kind() string   { return "partition" }
func (*RemoveTopicRecord) kind() string { return "removeTopic" }
func (*ConfigRecord) kind() string      { return "config" }
func (*ProducerIDsRecord) kind() string { return "producerIds" }
func (*ACLRecord) kind() string         { return "acl" }
func (*RemoveACLRecord) kind() string   { return "removeAcl" }

func (*ScramCredentialRecord) kind() string       { return "scramCredential" }
func (*RemoveScramCredentialRecord) kind() string { return "removeScramCredential" }

// kinds makes an empty record of every kind that this program knows.
var kinds = []func() Record{
	func() Record { return new(ClusterRecord) },
	func() Record { return new(FeatureRecord) },
	func() Record { return new(BrokerRecord) },
	func() Record { return new(TopicRecord) },
	func() Record { return new(PartitionsRecord) },
	func() Record { return new(PartitionRecord) },
	func() Record { return new(RemoveTopicRecord) },
	func() Record { return new(ConfigRecord) },
	func() Record { return new(ProducerIDsRecord) },
	func() Record { return new(ACLRecord) },
	func() Record { return new(RemoveACLRecord) },
	func() Record { return new(ScramCredentialRecord) },
	func() Record { return new(RemoveScramCredentialRecord) },
}

var kindByName = func() map[string]func() Record {
	known := make(map[string]func() Record, len(kinds))
	for _, empty := range kinds {
		known[empty().kind()] = empty
	}
	return known
}()

// Why bytes are no records.
var (
	ErrRecord  = errors.New("metadata record is malformed")
	ErrKind    = errors.New("metadata record is of an unknown type")
	ErrVersion = errors.New("metadata record has an unknown version")
)

// Append adds the text of records to dst: one JSON object a line, no newline at the end.
func Append(dst []byte, records []Record) []byte {
	for n, record := range records {
		if n > 0 {
			dst = append(dst, '\n')
		}
		body, err := json.Marshal(record)
		if err != nil {
			panic(fmt.Sprintf("cluster: %T does not become JSON: %v", record, err))
		}
		dst = append(dst, `{"type":"`...)
		dst = append(dst, record.kind()...)
		dst = append(dst, `","version":0,`...)
		dst = append(dst, body[1:]...)
	}
	return dst
}

// Parse reads what Append wrote. It refuses types, versions and fields that it does not
// know: whoever wrote them meant something by them.
func Parse(text []byte) ([]Record, error) {
	records := make([]Record, 0, 1+bytes.Count(text, newline))
	for number := 1; ; number++ {
		line, rest, more := bytes.Cut(text, newline)
		record, err := parse(line)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		records = append(records, record)
		if !more {
			return records, nil
		}
		text = rest
	}
}

var (
	newline = []byte("\n")
	opening = []byte(`{"type":"`)
	middle  = []byte(`","version":`)
)

func parse(line []byte) (Record, error) {
	rest, ok := bytes.CutPrefix(line, opening)
	if !ok {
		return nil, fmt.Errorf("%w: it does not begin with %s", ErrRecord, opening)
	}
	name, rest, ok := bytes.Cut(rest, middle)
	if !ok {
		return nil, fmt.Errorf("%w: no version behind the type", ErrRecord)
	}
	digits := bytes.IndexAny(rest, ",}")
	if digits < 0 {
		return nil, fmt.Errorf("%w: nothing behind the version", ErrRecord)
	}
	found, err := strconv.Atoi(string(rest[:digits]))
	if err != nil {
		return nil, fmt.Errorf("%w: version %q", ErrRecord, rest[:digits])
	}
	empty := kindByName[string(name)]
	if empty == nil {
		return nil, fmt.Errorf("%w: %q version %d", ErrKind, name, found)
	}
	if found != version {
		return nil, fmt.Errorf("%w: %s version %d; this program knows version %d", ErrVersion, name, found, version)
	}
	return parseBody(empty(), rest[digits:])
}

// parseBody reads the fields behind the version. rest begins at the comma, or at the
// closing brace of a record without fields.
func parseBody(record Record, rest []byte) (Record, error) {
	if !utf8.Valid(rest) {
		return nil, fmt.Errorf("%w: not UTF-8", ErrRecord)
	}
	body := make([]byte, 0, len(rest)+1)
	body = append(body, '{')
	if rest[0] == ',' {
		rest = rest[1:]
	}
	body = append(body, rest...)
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(record); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrRecord, err)
	}
	if _, err := decoder.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: something follows it", ErrRecord)
	}
	if b, ok := record.(interface{ Check() error }); ok { // a word that is left out cannot be written again
		if err := b.Check(); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrRecord, err)
		}
	}
	return record, nil
}
