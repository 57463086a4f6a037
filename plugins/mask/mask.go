// Package mask is an interceptor that hides what is secret in the values of records, before
// they are stored or before they are sent:
//
//	interceptors.produce=mask
//	plugin.mask.config.fields=card.number,holder   fields of JSON values; what is in an array is
//	                                               reached through it, * is any field
//	plugin.mask.config.regex=\b\d{16}\b            instead, or besides: what matches in any value
//	plugin.mask.config.digits=16                   instead, or besides: runs of at least so many digits, of
//	                                               which the last four stay; the others become asterisks
//	plugin.mask.config.action=redact               or hash: equal secrets stay equal
//	plugin.mask.config.replacement=***             of redact
//	plugin.mask.config.secret=…                    key of the hash (HMAC-SHA256): without it anybody
//	                                               could try out all card numbers
//
// All other bytes of a value stay as they are. With fields, a value that is no JSON is bad:
// on.error decides, and cannot be skip, for nothing must get past unseen (fail_closed). Keys
// and headers of records are not masked.
package mask

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"hash"
	"regexp"
	"strings"

	"github.com/millrace/millrace/sdk"
)

func init() { sdk.Interceptors.Register("mask", New) }

// hashed is how many bytes of a hash stand for what it hides.
const hashed = 16

type masker struct {
	fields  *node // nil: none
	regex   *regexp.Regexp
	digits  int       // of a run that is hidden; 0: none is
	literal []byte    // of redact
	quoted  []byte    // the same within a JSON string
	hash    hash.Hash // of hash, else nil
	sum     [sha256.Size]byte
	scan    scanner
}

// New makes a masker.
func New(c sdk.Config) (sdk.Interceptor, error) {
	m := &masker{literal: []byte(c.String("replacement", "***"))}
	if quoted, err := json.Marshal(string(m.literal)); err == nil { // a text has a form in JSON
		m.quoted = quoted[1 : len(quoted)-1]
	}
	for _, path := range c.List("fields") {
		if m.fields == nil {
			m.fields = &node{}
		}
		m.fields.add(strings.Split(path, "."))
	}
	if text := c.String("regex", ""); text != "" {
		regex, err := regexp.Compile(text)
		if err != nil {
			c.Wrong("regex", err.Error())
		}
		m.regex = regex
	}
	if m.digits = int(min(c.Int("digits", 0), 1<<10)); m.digits < 0 || m.digits > 0 && m.digits <= shown {
		c.Wrong("digits", "hides nothing: the last four of a run stay, so say more than 4, or 0 for none")
	}
	secret := c.String("secret", "")
	switch action := c.String("action", "redact"); {
	case action == "hash" && secret == "":
		c.Wrong("secret", "action=hash needs one")
	case action == "hash":
		m.hash = hmac.New(sha256.New, []byte(secret))
	case action != "redact":
		c.Wrong("action", "use redact or hash")
	}
	if m.fields == nil && m.regex == nil && m.digits == 0 {
		c.Wrong("fields", "none of fields, regex and digits says what is to be masked")
	}
	return m, nil
}

// FailClosed says that nothing may get past unseen.
func (m *masker) FailClosed() bool { return true }

// OnProduce masks what is to be stored.
func (m *masker) OnProduce(b *sdk.Batch) error {
	for i, v := range b.All() {
		if v.Value == nil {
			continue
		}
		value, changed := v.Value, false
		if m.fields != nil {
			if !json.Valid(value) {
				b.Fail(i, "the value is not JSON, so its fields cannot be masked")
				continue
			}
			value, changed = m.scan.rewrite(m, value)
		}
		if m.regex != nil && m.regex.Match(value) {
			value = m.regex.ReplaceAllFunc(value, func(secret []byte) []byte { return m.appendMask(nil, secret) })
			changed = true
		}
		from, to := -1, -1
		if m.digits > 0 {
			from, to = run(value, 0, m.digits)
		}
		if changed || from >= 0 {
			masked := append(b.Alloc(len(value))[:0], value...)
			hideDigits(masked, from, to, m.digits)
			b.SetValue(i, masked)
		}
	}
	return nil
}

// OnFetch masks what is to be sent.
func (m *masker) OnFetch(b *sdk.Batch) error { return m.OnProduce(b) }

// appendMask appends what stands for a secret.
func (m *masker) appendMask(p, secret []byte) []byte {
	if m.hash == nil {
		return append(p, m.literal...)
	}
	m.hash.Reset()
	m.hash.Write(secret) // never fails, by its contract
	return hex.AppendEncode(p, m.hash.Sum(m.sum[:0])[:hashed])
}
