package avro_test

import (
	"fmt"
	"testing"

	"github.com/millrace/millrace/sdk/serde/avro"
	"github.com/millrace/millrace/sdk/serde/registry"
	"github.com/millrace/millrace/sdk/serde/registry/registrytest"
)

type Reading struct {
	Sensor string  `avro:"sensor"`
	Value  float64 `avro:"value"`
}

// An empty schema is that of the type.
func init() { avro.Register[Reading]("") }

func Example() {
	s, err := avro.New[Reading]("")
	if err != nil {
		panic(err)
	}
	data, err := s.Append(nil, "readings", nil, Reading{"door", 1})
	fmt.Printf("%x %v\n", data, err)
	// Output: 08646f6f72000000000000f03f <nil>
}

// A schema registry for the tests of a program.
func TestWithARegistry(t *testing.T) {
	server := registrytest.Start(t)
	s, err := avro.New[Reading]("")
	if err != nil {
		t.Fatal(err)
	}
	withIDs, err := registry.NewSerde(s, registry.Settings{
		Options:      registry.Options{URLs: []string{server.URL}},
		AutoRegister: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = withIDs.Close() }) // it never fails
	data, err := withIDs.Append(nil, "readings", nil, Reading{"door", 1})
	if err != nil || data[4] != 1 || server.Subjects()[0] != "readings-value" {
		t.Errorf("written is %x, %v", data, err)
	}
}
