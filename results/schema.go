package results

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"sort"
	"strings"
	"sync"
)

//go:embed schema.json
var schemaText []byte

// rule is the part of JSON Schema (draft 2020-12) that schema.json uses. A keyword
// outside this list makes compile fail, so the schema cannot promise more than is checked.
type rule struct {
	Schema     string           `json:"$schema"`
	Title      string           `json:"title"`
	Defs       map[string]*rule `json:"$defs"`
	Ref        string           `json:"$ref"`
	Type       typeNames        `json:"type"`
	Const      json.RawMessage  `json:"const"`
	Enum       []any            `json:"enum"`
	Minimum    *float64         `json:"minimum"`
	MinLength  int              `json:"minLength"`
	MinItems   int              `json:"minItems"`
	Pattern    *regexp.Regexp   `json:"pattern"`
	Required   []string         `json:"required"`
	Properties map[string]*rule `json:"properties"`
	Additional json.RawMessage  `json:"additionalProperties"`
	Items      *rule            `json:"items"`
}

// Validate reports everything that is wrong with the bytes of a result: what schema.json
// says about its form, then what no schema can say about its meaning.
func Validate(data []byte) error {
	schema, err := shipped()
	if err != nil {
		return err
	}
	var value any
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	if err := decoder.Decode(&value); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	check := checker{root: schema}
	check.value("", schema, value)
	if err := errors.Join(check.found...); err != nil {
		return err
	}
	var r Result
	if err := json.Unmarshal(data, &r); err != nil {
		return fmt.Errorf("not a result: %w", err)
	}
	return r.meaning()
}

// shipped is schema.json. Nobody changes it.
var shipped = sync.OnceValues(func() (*rule, error) { return compile(schemaText) })

func compile(text []byte) (*rule, error) {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	schema := new(rule)
	if err := decoder.Decode(schema); err != nil {
		return nil, fmt.Errorf("read schema: %w", err)
	}
	return schema, nil
}

type checker struct {
	root  *rule
	found []error
}

func (c *checker) fail(path, format string, args ...any) {
	if path == "" {
		path = "the result"
	}
	c.found = append(c.found, fmt.Errorf("%s: %s", path, fmt.Sprintf(format, args...)))
}

func (c *checker) value(path string, r *rule, value any) {
	if r.Ref != "" {
		r = c.root.Defs[strings.TrimPrefix(r.Ref, "#/$defs/")]
	}
	if len(r.Const) > 0 && string(r.Const) != text(value) {
		c.fail(path, "is %s, allowed is %s", text(value), r.Const)
	}
	if len(r.Enum) > 0 && !slices.Contains(r.Enum, value) {
		c.fail(path, "is %s, allowed are %v", text(value), r.Enum)
	}
	if len(r.Type) > 0 && !slices.ContainsFunc(r.Type, func(t string) bool { return is(value, t) }) {
		c.fail(path, "is %s, allowed is %s", text(value), strings.Join(r.Type, " or "))
		return
	}
	switch value := value.(type) {
	case map[string]any:
		c.object(path, r, value)
	case []any:
		c.array(path, r, value)
	case string:
		c.string(path, r, value)
	case json.Number:
		switch f, err := value.Float64(); {
		case err != nil:
			c.fail(path, "is %.40s, which no number of 64 bits holds", value)
		case r.Minimum != nil && f < *r.Minimum:
			c.fail(path, "is %s, the least allowed is %v", value, *r.Minimum)
		}
	}
}

func (c *checker) object(path string, r *rule, value map[string]any) {
	for _, name := range r.Required {
		if _, ok := value[name]; !ok {
			c.fail(path, "%q is missing", name)
		}
	}
	names := make([]string, 0, len(value))
	for name := range value {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		below := strings.TrimPrefix(path+"."+name, ".")
		if property, ok := r.Properties[name]; ok {
			c.value(below, property, value[name])
			continue
		}
		switch extra := string(r.Additional); extra {
		case "", "true":
		case "false":
			c.fail(path, "%q is not a known field", name)
		default:
			rest := new(rule)
			if err := json.Unmarshal(r.Additional, rest); err != nil {
				panic("schema.json: additionalProperties: " + err.Error())
			}
			c.value(below, rest, value[name])
		}
	}
}

func (c *checker) array(path string, r *rule, value []any) {
	if len(value) < r.MinItems {
		c.fail(path, "has %d elements, the least allowed is %d", len(value), r.MinItems)
	}
	if r.Items == nil {
		return
	}
	for i, element := range value {
		c.value(fmt.Sprintf("%s[%d]", path, i), r.Items, element)
	}
}

func (c *checker) string(path string, r *rule, value string) {
	if len(value) < r.MinLength {
		c.fail(path, "is empty")
	}
	if r.Pattern != nil && !r.Pattern.MatchString(value) {
		c.fail(path, "%.40q does not match %s", value, r.Pattern)
	}
}

// typeNames is one name or several.
type typeNames []string

// UnmarshalJSON reads "x" as ["x"].
func (t *typeNames) UnmarshalJSON(text []byte) error {
	var one string
	if json.Unmarshal(text, &one) == nil {
		*t = typeNames{one}
		return nil
	}
	return json.Unmarshal(text, (*[]string)(t))
}

func is(value any, kind string) bool {
	switch value := value.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case []any:
		return kind == "array"
	case map[string]any:
		return kind == "object"
	case json.Number:
		_, err := value.Int64()
		return kind == "number" || kind == "integer" && err == nil
	default:
		return false
	}
}

func text(value any) string {
	out, err := json.Marshal(value)
	if err != nil {
		return fmt.Sprint(value)
	}
	return string(out)
}

// meaning checks what must hold between fields.
func (r *Result) meaning() error {
	if r.Valid == (r.InvalidReason != "") {
		return fmt.Errorf("valid is %v and invalid_reason is %q: a run is valid exactly when there is no reason against it", r.Valid, r.InvalidReason)
	}
	if len(r.Phases)+len(r.Figures) == 0 {
		return errors.New("it has neither phases nor figures")
	}
	seen := map[string]bool{}
	for _, m := range r.Figures {
		if seen[m.Name] {
			return fmt.Errorf("two figures are named %q", m.Name)
		}
		seen[m.Name] = true
	}
	for i := range r.Phases {
		if err := r.Phases[i].meaning(); err != nil {
			return fmt.Errorf("phases[%d] (%s): %w", i, r.Phases[i].Name, err)
		}
		if r.Valid && !r.Phases[i].Valid {
			return fmt.Errorf("phases[%d] (%s) is invalid and the run is not", i, r.Phases[i].Name)
		}
	}
	return nil
}

func (p *Phase) meaning() error {
	if p.Valid == (p.InvalidReason != "") {
		return fmt.Errorf("valid is %v and invalid_reason is %q", p.Valid, p.InvalidReason)
	}
	if p.Acked > p.Sent {
		return fmt.Errorf("%d records were acked and only %d sent", p.Acked, p.Sent)
	}
	if p.Mode == Fixed && p.Kind != Consume && p.IntendedRate == 0 {
		return errors.New("a phase at a fixed rate has no intended_rate")
	}
	for name, l := range p.Latency {
		if l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
			return fmt.Errorf("percentiles of %s fall: p50 %v, p90 %v, p99 %v, p99.9 %v, max %v", name, l.P50, l.P90, l.P99, l.P999, l.Max)
		}
		h, err := l.Histogram()
		if err != nil {
			return fmt.Errorf("latency %s: %w", name, err)
		}
		if h.TotalCount() != l.Count {
			return fmt.Errorf("latency %s counts %d values and its histogram %d", name, l.Count, h.TotalCount())
		}
	}
	return nil
}
