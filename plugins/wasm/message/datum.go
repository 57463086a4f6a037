package message

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

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
		dst = appendHeaders(dst, d.Headers)
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
		d.Headers = readHeaders(d.Headers, rest, headers)
	}
	if name := rest.Raw(topic); string(name) != d.Topic {
		d.Topic = string(name)
	}
	if rest.Bad || rest.Len() != 0 {
		return ErrMalformed
	}
	return nil
}

// readHeaders appends count headers to dst. Their keys are cut out of one text, for a module of Go pays
// for each that it would allocate alone more than for all else of a header.
func readHeaders(dst []sdk.Header, rest *abi.Reader, count uint32) []sdk.Header {
	ahead, size := *rest, 0
	for range count {
		key, _ := ahead.Pair()
		size += len(key)
	}
	if rest.Bad = ahead.Bad; rest.Bad {
		return dst
	}
	var keys strings.Builder
	keys.Grow(size)
	n := len(dst)
	dst = slices.Grow(dst, int(count))[:n+int(count)]
	for ; n < len(dst); n++ {
		key, value := rest.Pair()
		at := keys.Len()
		keys.Write(key)
		dst[n] = sdk.Header{Key: keys.String()[at:], Value: value}
	}
	return dst
}

// appendHeaders is the inverse, into room that is made once.
func appendHeaders(dst []byte, headers []sdk.Header) []byte {
	size := 0
	for i := range headers {
		size += headerLeast + len(headers[i].Key) + len(headers[i].Value)
	}
	at := len(dst)
	dst = slices.Grow(dst, size)[:at+size]
	for i := range headers {
		h := &headers[i]
		binary.LittleEndian.PutUint32(dst[at:], uint32(len(h.Key)))
		at += 4 + copy(dst[at+4:], h.Key)
		n := uint32(abi.Null)
		if h.Value != nil {
			n = uint32(len(h.Value))
		}
		binary.LittleEndian.PutUint32(dst[at:], n)
		at += 4 + copy(dst[at+4:], h.Value)
	}
	return dst
}

// AppendFault appends the answer that it cannot be done.
func AppendFault(dst []byte, reason string) []byte {
	return AppendDatum(dst, &Datum{Form: abi.FormFault, Bytes: []byte(reason[:min(len(reason), abi.MaxReason)]), Same: true})
}

var errMissing = errors.New("null is no value of this type")

func wrongForm(form abi.Form, t fmt.Stringer) error {
	return fmt.Errorf("form %d is no %s", form, t)
}
