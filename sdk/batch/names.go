package batch

const (
	// keptNames is how many names of headers are remembered, and longestName how long one
	// of them may be: programs have few, and whoever makes up more takes no memory here.
	keptNames   = 1024
	longestName = 128
)

// Names remembers the names of headers, so that one which comes again takes no memory. The
// zero value is ready.
type Names struct{ known map[string]string }

// of is the text of name.
func (n *Names) of(name []byte) string {
	if n == nil || len(name) > longestName {
		return string(name)
	}
	if text, ok := n.known[string(name)]; ok {
		return text
	}
	if n.known == nil {
		n.known = make(map[string]string)
	}
	text := string(name)
	if len(n.known) < keptNames {
		n.known[text] = text
	}
	return text
}
