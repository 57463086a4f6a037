package registry

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/millrace/millrace/sdk"
)

// Format is what payloads are: a way to write and read values by schemas.
type Format[T any] interface {
	// Schema is that by which values are written unless the registry's newest is asked for.
	Schema() Schema
	// Dependencies are the schemas that it refers to, those first that others need; their
	// versions are filled in. Most formats have none.
	Dependencies() []Dependency
	// Record is the name of what a value is, for RecordNameStrategy.
	Record() string
	// Encoder writes values by a schema of the registry.
	Encoder(s Schema) (func(dst []byte, v T) ([]byte, error), error)
	// Decoder reads payloads that were written by a schema of the registry. It may be asked
	// without one, when WritersMatter says so.
	Decoder(s Schema) (func(payload []byte) (T, error), error)
	// WritersMatter reports whether the schema that a payload was written by is needed to
	// read it.
	WritersMatter() bool
	// Null reports whether v is to be sent as null.
	Null(v T) bool
}

// Dependency is a schema that has to be registered before another one.
type Dependency struct {
	Name    string // as others refer to it; also its subject
	Schema  Schema
	Depends []string // names of those that it refers to
}

// Settings are those of serializers with a registry, by Confluent's names.
type Settings struct {
	Options
	AutoRegister bool
	UseLatest    bool
	Strategy     string // of the names of subjects
	Part         string // key or value
}

// Read reads settings. Part comes from whoever runs the serializer.
func Read(c sdk.Config) (Settings, error) {
	part := c.String("part", "value")
	s := Settings{
		Options: Options{
			URLs:    c.List("schema.registry.url"),
			Timeout: c.Duration("http.read.timeout.ms", time.Minute),
		},
		AutoRegister: c.Bool("auto.register.schemas", true),
		UseLatest:    c.Bool("use.latest.version", false),
		Part:         part,
	}
	s.LatestTTL = time.Duration(c.Int("latest.cache.ttl.sec", -1)) * time.Second
	other := map[string]string{"key": "value", "value": "key"}[part]
	c.String(other+".subject.name.strategy", "")
	strategy := c.String(part+".subject.name.strategy", "TopicNameStrategy")
	s.Strategy = strategy[strings.LastIndexByte(strategy, '.')+1:]
	switch s.Strategy {
	case "TopicNameStrategy", "RecordNameStrategy", "TopicRecordNameStrategy":
	default:
		c.Wrong(part+".subject.name.strategy", strategy+" is none: it is TopicNameStrategy, RecordNameStrategy or TopicRecordNameStrategy")
	}
	older := c.String("schema.registry.basic.auth.user.info", "")
	user := c.String("basic.auth.user.info", older)
	if source := c.String("basic.auth.credentials.source", "URL"); source == "USER_INFO" {
		var found bool
		if s.User, s.Password, found = strings.Cut(user, ":"); !found {
			c.Wrong("basic.auth.user.info", "it is name:password")
		}
	}
	return s, c.Err()
}

// Serde writes and reads values with the ids of their schemas. Any goroutine may call it.
type Serde[T any] struct {
	client   *Client
	format   Format[T]
	settings Settings
	writers  sync.Map // subject → *writer
	readers  sync.Map // id → func([]byte) (T, error)
}

// writer writes values of one subject.
type writer[T any] struct {
	id     int
	encode func([]byte, T) ([]byte, error)
	until  time.Time // zero: for ever
}

// NewSerde makes a serde of a format and its settings.
func NewSerde[T any](f Format[T], s Settings) (*Serde[T], error) {
	client, err := New(s.Options)
	if err != nil {
		return nil, err
	}
	s.Timeout = client.o.Timeout
	if s.UseLatest && s.AutoRegister {
		s.AutoRegister = false // as Confluent's serializers take it when both are on
	}
	return &Serde[T]{client: client, format: f, settings: s}, nil
}

var _ io.Closer = (*Serde[any])(nil)

// Close closes its connections to the registry.
func (s *Serde[T]) Close() error { return s.client.Close() }

// Subject is what the schemas of a topic are registered under.
func (s *Serde[T]) Subject(topic string) string {
	switch s.settings.Strategy {
	case "RecordNameStrategy":
		return s.format.Record()
	case "TopicRecordNameStrategy":
		return topic + "-" + s.format.Record()
	case "", "TopicNameStrategy":
		if s.settings.Part == "key" {
			return topic + "-key"
		}
	}
	return topic + "-value"
}

// Append appends v with the id of its schema.
func (s *Serde[T]) Append(dst []byte, topic string, _ *[]sdk.Header, v T) ([]byte, error) {
	if s.format.Null(v) {
		return nil, nil
	}
	w, err := s.writer(s.Subject(topic))
	if err != nil {
		return nil, err
	}
	out, err := w.encode(AppendID(dst, w.id), v)
	if err != nil {
		return nil, fmt.Errorf("write by schema %d: %w", w.id, err)
	}
	return out, nil
}

// writer is that of a subject. The first one to need it asks the registry.
func (s *Serde[T]) writer(subject string) (*writer[T], error) {
	if known, ok := s.writers.Load(subject); ok {
		if w := known.(*writer[T]); w.until.IsZero() || time.Now().Before(w.until) {
			return w, nil
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.settings.Timeout)
	defer cancel()
	if strings.HasSuffix(s.settings.Strategy, "RecordNameStrategy") && s.format.Record() == "" {
		return nil, fmt.Errorf("%s needs the name of the record, and the schema has none: give a JSON schema a title, or use TopicNameStrategy", s.settings.Strategy)
	}
	w := &writer[T]{}
	schema, err := s.schemaOf(ctx, subject, w)
	if err != nil {
		return nil, err
	}
	if w.encode, err = s.format.Encoder(schema); err != nil {
		return nil, fmt.Errorf("schema %d of subject %s: %w", w.id, subject, err)
	}
	s.writers.Store(subject, w)
	return w, nil
}

// schemaOf is the schema by which values of a subject are written; it fills in its id.
func (s *Serde[T]) schemaOf(ctx context.Context, subject string, w *writer[T]) (schema Schema, err error) {
	if s.settings.UseLatest {
		r, err := s.client.Version(ctx, subject, 0)
		if s.settings.LatestTTL > 0 {
			w.until = time.Now().Add(s.settings.LatestTTL)
		}
		w.id = r.ID
		return r.Schema, err
	}
	if schema, err = s.referring(ctx); err != nil {
		return schema, err
	}
	if s.settings.AutoRegister {
		w.id, err = s.client.Register(ctx, subject, schema)
		return schema, err
	}
	r, err := s.client.Lookup(ctx, subject, schema)
	w.id = r.ID
	return schema, err
}

// referring is the format's schema with the versions of those that it refers to, which are
// registered first, or looked up.
func (s *Serde[T]) referring(ctx context.Context) (Schema, error) {
	schema := s.format.Schema()
	versions := map[string]Reference{}
	with := func(text Schema, names []string) Schema {
		for _, name := range names {
			text.References = append(text.References, versions[name])
		}
		return text
	}
	var direct []string
	for _, d := range s.format.Dependencies() {
		if d.Name == "" { // the schema itself
			direct = d.Depends
			continue
		}
		of := with(d.Schema, d.Depends)
		if s.settings.AutoRegister {
			if _, err := s.client.Register(ctx, d.Name, of); err != nil {
				return schema, err
			}
		}
		r, err := s.client.Lookup(ctx, d.Name, of)
		if err != nil {
			return schema, err
		}
		versions[d.Name] = Reference{Name: d.Name, Subject: d.Name, Version: r.Version}
	}
	return with(schema, direct), nil
}

// Decode reads a value by the schema that it was written by.
func (s *Serde[T]) Decode(_ string, _ []sdk.Header, data []byte) (v T, err error) {
	if data == nil {
		return v, nil
	}
	id, payload, err := SplitID(data)
	if err != nil {
		return v, err
	}
	decode, err := s.reader(id)
	if err != nil {
		return v, err
	}
	if v, err = decode(payload); err != nil {
		return v, fmt.Errorf("read by schema %d: %w", id, err)
	}
	return v, nil
}

func (s *Serde[T]) reader(id int) (func([]byte) (T, error), error) {
	if !s.format.WritersMatter() {
		id = 0 // all are read the same way
	}
	if known, ok := s.readers.Load(id); ok {
		return known.(func([]byte) (T, error)), nil
	}
	var schema Schema
	if s.format.WritersMatter() {
		ctx, cancel := context.WithTimeout(context.Background(), s.settings.Timeout)
		defer cancel()
		var err error
		if schema, err = s.client.ByID(ctx, id); err != nil {
			return nil, err
		}
	}
	decode, err := s.format.Decoder(schema)
	if err != nil {
		return nil, fmt.Errorf("schema %d: %w", id, err)
	}
	s.readers.Store(id, decode)
	return decode, nil
}

// Register makes a format known by name for values of type T, with a registry. It is for
// init.
func Register[T any](name string, format func() (Format[T], error)) {
	made := func(c sdk.Config) (*Serde[T], error) {
		settings, err := Read(c)
		if err != nil {
			return nil, err
		}
		f, err := format()
		if err != nil {
			return nil, err
		}
		return NewSerde(f, settings)
	}
	sdk.Serializers[T]().Register(name, func(c sdk.Config) (sdk.Serializer[T], error) { return made(c) })
	sdk.Deserializers[T]().Register(name, func(c sdk.Config) (sdk.Deserializer[T], error) { return made(c) })
}
