package registry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// mostAnswer is how long an answer of a registry may be.
const mostAnswer = 16 << 20

// mediaType is what registries speak.
const mediaType = "application/vnd.schemaregistry.v1+json"

// Options say where a registry is.
type Options struct {
	URLs     []string // tried in turn; the first one that answers counts
	User     string   // "": none, or that of the URL
	Password string
	// Timeout is how long an answer may take. Zero: a minute.
	Timeout time.Duration
	// LatestTTL is for how long the newest schema of a subject is taken for the newest.
	// Zero or less: for ever.
	LatestTTL time.Duration
	HTTP      *http.Client // nil: one of its own
}

// Reference is a schema that another one uses.
type Reference struct {
	Name    string `json:"name"` // as the schema calls it
	Subject string `json:"subject"`
	Version int    `json:"version"`
}

// Schema is a schema. Type is AVRO, which registries take "" for, JSON or PROTOBUF.
type Schema struct {
	Type       string      `json:"schemaType,omitempty"`
	Text       string      `json:"schema"`
	References []Reference `json:"references,omitempty"`
}

func (s Schema) key() string {
	text, _ := json.Marshal(s) // strings and numbers: it cannot fail
	return string(text)
}

// Registered is a schema as a subject has it.
type Registered struct {
	Schema
	Subject string `json:"subject"`
	Version int    `json:"version"`
	ID      int    `json:"id"`
}

// Error is what a registry answered.
type Error struct {
	Status  int    `json:"-"`
	Code    int    `json:"error_code"` // 40401: no such subject; 40403: no such schema; 409: not compatible
	Message string `json:"message"`
}

func (e *Error) Error() string {
	switch {
	case e.Status == http.StatusUnauthorized:
		return fmt.Sprintf("the registry says %d %s: check basic.auth.user.info", e.Code, e.Message)
	case e.Status == http.StatusConflict:
		return fmt.Sprintf("the registry says %d %s: the schema is not compatible with those that the subject has", e.Code, e.Message)
	default:
		return fmt.Sprintf("the registry says %d %s", e.Code, e.Message)
	}
}

// Client is a client of a registry. Any goroutine may call it.
type Client struct {
	o       Options
	schemas sync.Map // id → Schema; they never change
	ids     sync.Map // subject and schema → Registered
	newest  sync.Map // subject → latest
	flights singleflight.Group
	bases   []base
}

// base is one of the registry's addresses, and who asks there: what one address has in it is
// told to no other.
type base struct {
	url            string
	user, password string
}

type latest struct {
	Registered
	until time.Time // zero: for ever
}

// New makes a client. It asks nothing yet.
func New(o Options) (*Client, error) {
	if len(o.URLs) == 0 {
		return nil, errors.New("schema.registry.url is missing: say where the schema registry is, as http://host:8081")
	}
	bases := make([]base, 0, len(o.URLs))
	for _, text := range o.URLs {
		u, err := url.Parse(text)
		if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
			return nil, fmt.Errorf("schema.registry.url: %q is no address such as http://host:8081", text)
		}
		b := base{user: o.User, password: o.Password}
		if u.User != nil && o.User == "" {
			b.user = u.User.Username()
			b.password, _ = u.User.Password()
		}
		u.User = nil
		b.url = strings.TrimSuffix(u.String(), "/")
		bases = append(bases, b)
	}
	if o.Timeout == 0 {
		o.Timeout = time.Minute
	}
	if o.HTTP == nil {
		o.HTTP = &http.Client{Transport: http.DefaultTransport.(*http.Transport).Clone()}
	}
	return &Client{o: o, bases: bases}, nil
}

// Close closes idle connections.
func (c *Client) Close() error {
	c.o.HTTP.CloseIdleConnections()
	return nil
}

// Register makes a schema one of a subject, if it is not, and answers its id.
func (c *Client) Register(ctx context.Context, subject string, s Schema) (int, error) {
	r, err := c.known(ctx, "register", subject, s, func(ctx context.Context) (r Registered, err error) {
		err = c.ask(ctx, http.MethodPost, "/subjects/"+url.PathEscape(subject)+"/versions", s, &r)
		return r, err
	})
	return r.ID, err
}

// Lookup is a schema as a subject has it; an Error with code 40403 if it does not.
func (c *Client) Lookup(ctx context.Context, subject string, s Schema) (Registered, error) {
	return c.known(ctx, "look up", subject, s, func(ctx context.Context) (r Registered, err error) {
		err = c.ask(ctx, http.MethodPost, "/subjects/"+url.PathEscape(subject), s, &r)
		return r, err
	})
}

// known asks for what a subject has, unless it is known.
func (c *Client) known(ctx context.Context, doing, subject string, s Schema, ask func(context.Context) (Registered, error)) (Registered, error) {
	key := doing + "\x00" + subject + "\x00" + s.key()
	r, err := shared(ctx, c, &c.ids, key, ask)
	if err != nil {
		return r, fmt.Errorf("%s a schema of subject %s: %w", doing, subject, err)
	}
	return r, nil
}

// ByID is the schema with that id.
func (c *Client) ByID(ctx context.Context, id int) (Schema, error) {
	s, err := shared(ctx, c, &c.schemas, "id "+strconv.Itoa(id), func(ctx context.Context) (s Schema, err error) {
		err = c.ask(ctx, http.MethodGet, "/schemas/ids/"+strconv.Itoa(id), nil, &s)
		return s, err
	})
	if err != nil {
		return s, fmt.Errorf("look up schema %d: %w", id, err)
	}
	return s, nil
}

// Version is that version of a subject; 0 is the newest, which is not asked for again
// before LatestTTL has passed.
func (c *Client) Version(ctx context.Context, subject string, version int) (Registered, error) {
	if version != 0 {
		r, err := c.version(ctx, subject, strconv.Itoa(version))
		return r, err
	}
	if known, ok := c.newest.Load(subject); ok {
		if l := known.(latest); l.until.IsZero() || time.Now().Before(l.until) {
			return l.Registered, nil
		}
	}
	r, err := c.version(ctx, subject, "latest")
	if err == nil {
		l := latest{Registered: r}
		if c.o.LatestTTL > 0 {
			l.until = time.Now().Add(c.o.LatestTTL)
		}
		c.newest.Store(subject, l)
	}
	return r, err
}

func (c *Client) version(ctx context.Context, subject, version string) (r Registered, err error) {
	ctx, cancel := context.WithTimeout(ctx, c.o.Timeout)
	defer cancel()
	if err = c.ask(ctx, http.MethodGet, "/subjects/"+url.PathEscape(subject)+"/versions/"+version, nil, &r); err != nil {
		return r, fmt.Errorf("look up version %s of subject %s: %w", version, subject, err)
	}
	return r, nil
}

// shared is what a cache has, or what ask answers; several who want the same ask once.
// Whoever stops waiting does not stop the others.
func shared[T any](ctx context.Context, c *Client, cache *sync.Map, key string, ask func(context.Context) (T, error)) (T, error) {
	if known, ok := cache.Load(key); ok {
		return known.(T), nil
	}
	answer := c.flights.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.o.Timeout)
		defer cancel()
		v, err := ask(ctx)
		if err == nil {
			cache.Store(key, v)
		}
		return v, err
	})
	var none T
	select {
	case a := <-answer:
		if a.Err != nil {
			return none, a.Err
		}
		return a.Val.(T), nil
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// ask asks one address after the other until one answers. An answer of 500 and above is as
// good as none.
func (c *Client) ask(ctx context.Context, method, path string, body, answer any) error {
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			return err
		}
	}
	var all []error
	for _, b := range c.bases {
		err := c.askOne(ctx, b, method, path, text, answer)
		var refused *Error
		if err == nil || errors.As(err, &refused) && refused.Status < 500 {
			return err
		}
		all = append(all, err)
		if ctx.Err() != nil {
			break
		}
	}
	return errors.Join(all...)
}

func (c *Client) askOne(ctx context.Context, b base, method, path string, body []byte, answer any) error {
	address := b.url + path
	q, err := http.NewRequestWithContext(ctx, method, address, bytes.NewReader(body))
	if err != nil {
		return err
	}
	q.Header.Set("Accept", mediaType+", application/json")
	if body != nil {
		q.Header.Set("Content-Type", mediaType)
	}
	if b.user != "" {
		q.SetBasicAuth(b.user, b.password)
	}
	a, err := c.o.HTTP.Do(q)
	if err != nil {
		return err
	}
	defer a.Body.Close()
	text, err := io.ReadAll(io.LimitReader(a.Body, mostAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("read the answer of %s: %w", address, err)
	case len(text) > mostAnswer:
		return fmt.Errorf("the answer of %s is longer than %d bytes", address, mostAnswer)
	case a.StatusCode < 200 || a.StatusCode > 299:
		return refusal(a.StatusCode, text)
	}
	if err := json.Unmarshal(text, answer); err != nil {
		return fmt.Errorf("the answer of %s is not JSON: %w", address, err)
	}
	return nil
}

// refusal is an answer that is an error. Proxies answer without the registry's JSON.
func refusal(status int, text []byte) error {
	e := &Error{Status: status}
	if json.Unmarshal(text, e) != nil || e.Message == "" {
		e.Message = fmt.Sprintf("%s %.200s", http.StatusText(status), text)
	}
	if e.Code == 0 {
		e.Code = status
	}
	e.Status = status
	return e
}
