package message

import (
	"errors"
	"fmt"

	"github.com/millrace/millrace/plugins/wasm/abi"
	"github.com/millrace/millrace/sdk"
)

// headerLeast is how many bytes a header takes at least. There may be as many as there are bytes for:
// records have as many as whoever produced them liked, and a host looks at how many a guest adds.
const headerLeast = 4 + 4

// Datum is a key or value with what goes with it.
type Datum struct {
	Topic   string
	Form    abi.Form
	Bytes   []byte
	Headers []sdk.Header
	// Same says, in an answer, that the headers are as they were.
	Same bool
}

// AppendDatum appends d.
func AppendDatum(dst []byte, d *Datum) []byte {
	headers := uint32(len(d.Headers))
	if d.Same {
		headers = abi.Null
	}
	for _, n := range []uint32{abi.DatumMagic, abi.DatumSize, uint32(d.Form), uint32(len(d.Bytes)), headers, uint32(len(d.Topic))} {
		dst = abi.AppendU32(dst, n)
	}
	dst = append(dst, d.Bytes...)
	if !d.Same {
		for _, h := range d.Headers {
			dst = abi.AppendBytes(abi.AppendText(dst, h.Key), h.Value)
		}
	}
	return append(dst, d.Topic...)
}

// Read reads a datum, which is valid as long as its bytes are, and uses the memory of d.
func (d *Datum) Read(bytes []byte) error {
	head, rest := abi.Open(bytes, abi.DatumMagic, abi.DatumSize)
	form, size, headers, topic := head.U32(), head.U32(), head.U32(), head.U32()
	d.Form, d.Bytes, d.Headers, d.Same = abi.Form(form), rest.Raw(size), d.Headers[:0], headers == abi.Null
	if head.Bad || d.Form > abi.FormFault || d.Form == abi.FormNull && size > 0 || !d.Same && uint64(headers)*headerLeast > uint64(rest.Len()) {
		return ErrMalformed
	}
	if !d.Same {
		for range headers {
			d.Headers = append(d.Headers, sdk.Header{Key: rest.Text(), Value: rest.Bytes()})
			if rest.Bad {
				return ErrMalformed
			}
		}
	}
	if name := rest.Raw(topic); string(name) != d.Topic {
		d.Topic = string(name)
	}
	if rest.Bad || rest.Len() != 0 {
		return ErrMalformed
	}
	return nil
}

// AppendFault appends the answer that it cannot be done.
func AppendFault(dst []byte, reason string) []byte {
	return AppendDatum(dst, &Datum{Form: abi.FormFault, Bytes: []byte(reason[:min(len(reason), abi.MaxReason)]), Same: true})
}

var errMissing = errors.New("null is no value of this type")

func wrongForm(form abi.Form, t fmt.Stringer) error {
	return fmt.Errorf("form %d is no %s", form, t)
}
