package serde_test

import (
	"fmt"
	"strings"

	"github.com/millrace/millrace/sdk"
	"github.com/millrace/millrace/sdk/serde"
)

type Payment struct {
	From  string `json:"from"`
	Cents int64  `json:"cents"`
}

// One line makes "json" a serializer and a deserializer of a type.
func init() { serde.RegisterJSON[Payment]() }

// Upper is text in capitals.
type Upper struct{ serde.String }

func (u Upper) Append(dst []byte, topic string, headers *[]sdk.Header, v string) ([]byte, error) {
	return u.String.Append(dst, topic, headers, strings.ToUpper(v))
}

// A serializer of your own has a name as well.
func init() { serde.Register[string]("upper", Upper{}) }

func Example() {
	for _, name := range []string{"string", "upper"} {
		s, err := sdk.Serializers[string]().New(name, sdk.Config{})
		if err != nil {
			panic(err)
		}
		data, err := s.Append(nil, "topic", nil, "text")
		fmt.Printf("%s: %s %v\n", name, data, err)
	}
	s, err := sdk.Serializers[Payment]().New("json", sdk.Config{})
	if err != nil {
		panic(err)
	}
	data, err := s.Append(nil, "topic", nil, Payment{"me", 250})
	fmt.Printf("json: %s %v\n", data, err)
	// Output:
	// string: text <nil>
	// upper: TEXT <nil>
	// json: {"from":"me","cents":250} <nil>
}
