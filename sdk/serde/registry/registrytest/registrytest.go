// Package registrytest is a schema registry in memory, for tests: the part of Confluent's
// REST API that serializers use, with its error codes. It takes any schema, and checks no
// compatibility.
package registrytest

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/millrace/millrace/sdk/serde/registry"
)

// Server is a registry. Its address is URL.
type Server struct {
	*httptest.Server
	mu       sync.Mutex //nolint:forbidigo // handlers of net/http are many goroutines; nothing waits under it
	ids      []registry.Schema
	subjects map[string][]int // ids of its versions
	asked    map[string]int
	user     string
	password string
	broken   int
}

// Start starts a registry that ends with the test.
func Start(t testing.TB) *Server {
	s := &Server{subjects: map[string][]int{}, asked: map[string]int{}}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /subjects/{subject}/versions", s.handle(s.register))
	mux.HandleFunc("POST /subjects/{subject}", s.handle(s.lookup))
	mux.HandleFunc("GET /subjects/{subject}/versions/{version}", s.handle(s.version))
	mux.HandleFunc("GET /subjects/{subject}/versions", s.handle(s.versions))
	mux.HandleFunc("GET /subjects", s.handle(s.list))
	mux.HandleFunc("GET /schemas/ids/{id}", s.handle(s.byID))
	s.Server = httptest.NewServer(mux)
	t.Cleanup(s.Close)
	return s
}

// Protect asks for a name and a password from now on.
func (s *Server) Protect(user, password string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.user, s.password = user, password
}

// Break answers the next requests with an internal error.
func (s *Server) Break(requests int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.broken = requests
}

// Asked is how often a request came, as "GET /schemas/ids/1".
func (s *Server) Asked(request string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.asked[request]
}

// Schemas are all schemas, by id less one.
func (s *Server) Schemas() []registry.Schema {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.ids)
}

// Subjects are the names of all subjects, in order.
func (s *Server) Subjects() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.names()
}

func (s *Server) names() []string {
	names := []string{}
	for name := range s.subjects {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}

// handle answers with what f answers, or with its error.
func (s *Server) handle(f func(q *http.Request) (any, *registry.Error)) http.HandlerFunc {
	return func(w http.ResponseWriter, q *http.Request) {
		s.mu.Lock()
		s.asked[q.Method+" "+q.URL.Path]++
		answer, err := s.answer(q, f)
		s.mu.Unlock()
		w.Header().Set("Content-Type", "application/vnd.schemaregistry.v1+json")
		if err != nil {
			w.WriteHeader(err.Status)
			answer = err
		}
		_ = json.NewEncoder(w).Encode(answer) // whoever asked may be gone
	}
}

func (s *Server) answer(q *http.Request, f func(q *http.Request) (any, *registry.Error)) (any, *registry.Error) {
	user, password, _ := q.BasicAuth()
	switch {
	case user != s.user || password != s.password:
		return nil, &registry.Error{Status: 401, Code: 401, Message: "Unauthorized"}
	case s.broken > 0:
		s.broken--
		return nil, &registry.Error{Status: 500, Code: 50001, Message: "Error in the backend data store"}
	default:
		return f(q)
	}
}

func read(q *http.Request) (schema registry.Schema, wrong *registry.Error) {
	if err := json.NewDecoder(q.Body).Decode(&schema); err != nil || schema.Text == "" {
		return schema, &registry.Error{Status: 422, Code: 42201, Message: "Empty or invalid schema"}
	}
	if schema.Type == "AVRO" {
		schema.Type = ""
	}
	return schema, nil
}

func same(a, b registry.Schema) bool {
	return a.Type == b.Type && a.Text == b.Text && slices.Equal(a.References, b.References)
}

func (s *Server) register(q *http.Request) (any, *registry.Error) {
	schema, wrong := read(q)
	if wrong != nil {
		return nil, wrong
	}
	for _, r := range schema.References {
		if versions := s.subjects[r.Subject]; r.Version < 1 || r.Version > len(versions) {
			return nil, &registry.Error{Status: 422, Code: 42201, Message: "No schema reference found for subject " + r.Subject}
		}
	}
	id := 1 + slices.IndexFunc(s.ids, func(other registry.Schema) bool { return same(schema, other) })
	if id == 0 {
		s.ids = append(s.ids, schema)
		id = len(s.ids)
	}
	subject := q.PathValue("subject")
	if !slices.Contains(s.subjects[subject], id) {
		s.subjects[subject] = append(s.subjects[subject], id)
	}
	return map[string]int{"id": id}, nil
}

func noSubject(name string) *registry.Error {
	return &registry.Error{Status: 404, Code: 40401, Message: "Subject '" + name + "' not found."}
}

func (s *Server) lookup(q *http.Request) (any, *registry.Error) {
	schema, wrong := read(q)
	if wrong != nil {
		return nil, wrong
	}
	subject := q.PathValue("subject")
	versions, ok := s.subjects[subject]
	if !ok {
		return nil, noSubject(subject)
	}
	for i, id := range versions {
		if same(schema, s.ids[id-1]) {
			return registry.Registered{Schema: s.ids[id-1], Subject: subject, Version: i + 1, ID: id}, nil
		}
	}
	return nil, &registry.Error{Status: 404, Code: 40403, Message: "Schema not found"}
}

func (s *Server) version(q *http.Request) (any, *registry.Error) {
	subject := q.PathValue("subject")
	versions, ok := s.subjects[subject]
	if !ok {
		return nil, noSubject(subject)
	}
	number := len(versions)
	if text := q.PathValue("version"); text != "latest" {
		var err error
		if number, err = strconv.Atoi(text); err != nil || number < 1 {
			return nil, &registry.Error{Status: 422, Code: 42202, Message: "The specified version '" + text + "' is not a valid version id."}
		}
	}
	if number > len(versions) {
		return nil, &registry.Error{Status: 404, Code: 40402, Message: "Version " + strconv.Itoa(number) + " not found."}
	}
	id := versions[number-1]
	return registry.Registered{Schema: s.ids[id-1], Subject: subject, Version: number, ID: id}, nil
}

func (s *Server) versions(q *http.Request) (any, *registry.Error) {
	versions, ok := s.subjects[q.PathValue("subject")]
	if !ok {
		return nil, noSubject(q.PathValue("subject"))
	}
	numbers := make([]int, len(versions))
	for i := range numbers {
		numbers[i] = i + 1
	}
	return numbers, nil
}

func (s *Server) list(*http.Request) (any, *registry.Error) { return s.names(), nil }

func (s *Server) byID(q *http.Request) (any, *registry.Error) {
	id, err := strconv.Atoi(q.PathValue("id"))
	if err != nil || id < 1 || id > len(s.ids) {
		return nil, &registry.Error{Status: 404, Code: 40403, Message: "Schema " + q.PathValue("id") + " not found"}
	}
	return s.ids[id-1], nil
}
