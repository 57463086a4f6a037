// Package jsonschema is an interceptor that checks records against a JSON schema (drafts 4 to
// 2020-12):
//
//	interceptors.produce=orders-schema
//	plugin.orders-schema.type=json-schema
//	plugin.orders-schema.config.schema={"type":"object","required":["id"]}
//	plugin.orders-schema.config.schema.file=order.json   instead: a file in plugin.dir of the broker
//	plugin.orders-schema.config.part=value     or key
//	plugin.orders-schema.config.null=true      whether null, a deletion, passes
//
// A record that does not match is bad, and on.error decides what becomes of it: it fails its
// batch with the reason, or goes to a dead-letter topic. So is one with a number that would take
// memory and time without measure to look at: of more than 400 characters, or with an exponent
// beyond ±400 (those of doubles end at 324). A schema refers to nothing outside of itself: what
// it names elsewhere is refused when it is loaded.
package jsonschema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/millrace/millrace/plugins/files"
	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Interceptors.Register("json-schema", New) }

// largestSchema bounds a schema that is read from a file, in bytes.
const largestSchema = 4 << 20

type validator struct {
	sdk.Nop
	schema *jsonschema.Schema
	key    bool
	null   bool
}

// New makes a validator.
func New(c sdk.Config) (sdk.Interceptor, error) {
	text, file, dir := c.String("schema", ""), c.String("schema.file", ""), c.String("dir", "") // dir is the host's
	v := &validator{null: c.Bool("null", true)}
	switch part := c.String("part", "value"); part {
	case "key", "value":
		v.key = part == "key"
	default:
		c.Wrong("part", "use key or value")
	}
	if (text == "") == (file == "") {
		c.Wrong("schema", "give either schema or schema.file")
		return v, nil
	}
	if file != "" {
		data, err := files.Read(dir, file, largestSchema)
		if err != nil {
			return nil, fmt.Errorf("read the schema: %w", err)
		}
		text = string(data)
	}
	var err error
	if v.schema, err = compile(text); err != nil {
		return nil, err
	}
	return v, nil
}

// nowhere is where a schema finds what it names outside of itself.
type nowhere struct{}

func (nowhere) Load(url string) (any, error) {
	return nil, fmt.Errorf("a schema must not refer to %s", url)
}

const name = "schema.json"

func compile(text string) (*jsonschema.Schema, error) {
	document, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
	if err != nil {
		return nil, fmt.Errorf("the schema is not JSON: %w", err)
	}
	c := jsonschema.NewCompiler()
	c.UseLoader(nowhere{})
	if err := c.AddResource(name, document); err != nil {
		return nil, fmt.Errorf("the schema: %w", err)
	}
	s, err := c.Compile(name)
	if err != nil {
		return nil, fmt.Errorf("the schema: %w", err)
	}
	return s, nil
}

// OnProduce checks every record.
func (v *validator) OnProduce(b *sdk.Batch) error {
	for i, r := range b.All() {
		data := r.Value
		if v.key {
			data = r.Key
		}
		if why := v.check(data); why != "" {
			b.Fail(i, why)
		}
	}
	return nil
}

// check answers what is wrong with data, "" when nothing is.
func (v *validator) check(data []byte) string {
	part := "value"
	if v.key {
		part = "key"
	}
	if data == nil {
		if v.null {
			return ""
		}
		return "the " + part + " is null"
	}
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		return "the " + part + " is not JSON: " + err.Error()
	}
	if number := excessive(document); number != "" {
		return "the " + part + " has a number that is too long or too large to be looked at: " + number
	}
	if err := v.schema.Validate(document); err != nil {
		return "the " + part + " does not match its schema: " + reason(err)
	}
	return ""
}

// Bounds of numbers: the validator reckons with fractions of whole numbers, exactly, and
// 1e1000000000 is a gigabyte of them in twelve characters.
const (
	longestNumber   = 400 // characters
	largestExponent = 400
)

// excessive is the beginning of a number beyond those bounds, "" when there is none.
func excessive(document any) string {
	switch d := document.(type) {
	case json.Number:
		return beyond(string(d))
	case []any:
		for _, one := range d {
			if number := excessive(one); number != "" {
				return number
			}
		}
	case map[string]any:
		for _, one := range d {
			if number := excessive(one); number != "" {
				return number
			}
		}
	}
	return ""
}

func beyond(number string) string {
	if len(number) > longestNumber {
		return number[:20] + "…"
	}
	if at := strings.IndexAny(number, "eE"); at >= 0 {
		if exponent, err := strconv.Atoi(number[at+1:]); err != nil || exponent > largestExponent || exponent < -largestExponent {
			return number[:min(len(number), 20)]
		}
	}
	return ""
}

// reason is the first thing that is wrong, with its place.
func reason(err error) string {
	var wrong *jsonschema.ValidationError
	if !errors.As(err, &wrong) {
		return err.Error()
	}
	for len(wrong.Causes) > 0 {
		wrong = wrong.Causes[0]
	}
	text := wrong.Error()
	if _, last, found := strings.Cut(text, "\n"); found { // the first line names the schema
		text = last
	}
	return strings.TrimPrefix(strings.TrimSpace(text), "- ")
}
