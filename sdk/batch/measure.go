package batch

// Size is what the records of a batch come to, once somebody holds them.
type Size struct {
	Bytes   int // decompressed
	Records int
	Headers int // of all records together
	Named   int // bytes that the headers take, with their names and values
}

// Count walks over count uncompressed records, whatever their offsets, without taking
// memory. There must be nothing behind them.
func Count(section []byte, count int32) (Size, error) {
	size := Size{Bytes: len(section), Records: int(count)}
	for range count {
		length, next := varint(section, 0)
		if next == 0 || length <= 0 || length > int64(len(section)-next) {
			return Size{}, ErrRecord
		}
		end := next + int(length)
		headers, at := headerCount(section[:end], next+1) // behind the attributes
		if at == 0 {
			return Size{}, ErrRecord
		}
		size.Headers += headers
		size.Named += end - at
		section = section[end:]
	}
	if len(section) != 0 {
		return Size{}, ErrCount
	}
	return size, nil
}

// headerCount goes from the timestamp of a record to its headers, and tells how many they are
// and where they begin: 0 when the record does not hold together so far.
func headerCount(body []byte, at int) (headers, begin int) {
	for range 2 { // timestamp, offset
		if _, at = varint(body, at); at == 0 {
			return 0, 0
		}
	}
	for range 2 { // key, value
		if _, at = skip(body, at); at == 0 {
			return 0, 0
		}
	}
	count, at := varint(body, at)
	// A header takes two bytes at least, so a count beyond that is a lie.
	if at == 0 || count < 0 || count > int64(len(body)-at)/2 {
		return 0, 0
	}
	return int(count), at
}

// Measure tells what the records of b, which must have passed Check, come to: at most max
// bytes, else ErrSize. They are looked through in a window, and none of them is held.
func Measure(b Batch, max int, m Memory) (Size, error) {
	if b.Codec() == None {
		return Count(b[HeaderSize:], b.Count())
	}
	s, err := Scan(b, ScanOptions{Max: int64(max), Memory: m})
	if err != nil {
		return Size{}, err
	}
	defer s.Close()
	size := Size{Records: int(b.Count())}
	for s.Next() {
		size.Headers += s.headers
		size.Named += s.named
	}
	size.Bytes = int(s.read)
	return size, s.Err()
}
