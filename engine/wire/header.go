package wire

// Header is what every request begins with.
type Header struct {
	Key         int16
	Version     int16
	Correlation int32
	ClientID    []byte // points into the frame; nil: null
	Body        []byte // what follows; points into the frame
}

// ParseHeader reads the header of a request. Flexible tells for a known key from which
// version on its requests have tagged fields (a negative number: never); for a key that
// it does not know it returns ok = false, and then only Key, Version and Correlation
// are read.
//
// The client id stays a classic nullable string in every version (KIP-482).
func ParseHeader(frame []byte, flexible func(key int16) (from int16, ok bool)) (h Header, err error) {
	r := reader{rest: frame}
	h.Key, h.Version, h.Correlation = r.int16(), r.int16(), r.int32()
	if r.failed {
		return h, ErrMalformed
	}
	from, ok := flexible(h.Key)
	if !ok {
		return h, nil
	}
	h.ClientID, _ = r.string()
	r.flex = from >= 0 && h.Version >= from
	r.tags(nil)
	if r.failed {
		return h, ErrMalformed
	}
	h.Body = r.rest
	return h, nil
}

// AppendHeader begins a response. Flexible: with tagged fields, of which there are none.
// ApiVersions responses never have them, so that a client can read one before it knows
// which version the broker speaks (KIP-511).
func AppendHeader(p []byte, correlation int32, flexible bool) []byte {
	w := writer{p: p, flex: flexible}
	w.int32(correlation)
	w.tags(0)
	return w.p
}
