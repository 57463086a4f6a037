package session

import (
	"errors"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// ErrReported is what a tool returns when it has already printed what went
// wrong: only the exit code is left to decide.
var ErrReported = errors.New("failed")

// Misuse is a mistake in how a tool was called: worth the help text.
type Misuse struct{ Text string }

func (m *Misuse) Error() string { return m.Text }

// Refusal is a broker's answer that it did not do what was asked.
type Refusal struct {
	Code *kerr.Error
	Text string // what the broker said beyond the code; may be empty
}

// Error is what people read: the code's name and the most telling text.
func (r *Refusal) Error() string { return r.Code.Message + ": " + r.Message() }

// Message is the broker's own text, or else what the code means.
func (r *Refusal) Message() string {
	if r.Text != "" {
		return r.Text
	}
	return r.Code.Description
}

// Unwrap lets errors.Is find the code.
func (r *Refusal) Unwrap() error { return r.Code }

// Refused pairs an error of a client library with the broker's text. Errors that
// are not the protocol's pass through; nil stays nil.
func Refused(err error, text string) error {
	var code *kerr.Error
	if errors.As(err, &code) {
		return &Refusal{code, text}
	}
	return err
}

// Message is err as Java's getMessage has it: the text without the code.
func Message(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		return refusal.Message()
	}
	var code *kerr.Error
	if errors.As(err, &code) {
		return code.Description
	}
	return err.Error()
}

// Exception is err as Java's toString has it: class, colon, message. Kafka's
// tools print it where one exception is the cause of another.
func Exception(err error) string {
	var code *kerr.Error
	if !errors.As(err, &code) {
		return err.Error()
	}
	return "org.apache.kafka.common.errors." + class(code.Message) + ": " + Message(err)
}

// classes are the exceptions whose names do not follow from the error's.
var classes = map[string]string{
	"UNKNOWN_SERVER_ERROR":           "UnknownServerException",
	"CORRUPT_MESSAGE":                "CorruptRecordException",
	"REQUEST_TIMED_OUT":              "TimeoutException",
	"MESSAGE_TOO_LARGE":              "RecordTooLargeException",
	"STALE_CONTROLLER_EPOCH":         "ControllerMovedException",
	"OFFSET_METADATA_TOO_LARGE":      "OffsetMetadataTooLarge",
	"NETWORK_EXCEPTION":              "NetworkException",
	"INVALID_TOPIC_EXCEPTION":        "InvalidTopicException",
	"RECORD_LIST_TOO_LARGE":          "RecordBatchTooLargeException",
	"TOPIC_AUTHORIZATION_FAILED":     "TopicAuthorizationException",
	"GROUP_AUTHORIZATION_FAILED":     "GroupAuthorizationException",
	"CLUSTER_AUTHORIZATION_FAILED":   "ClusterAuthorizationException",
	"TOPIC_ALREADY_EXISTS":           "TopicExistsException",
	"INVALID_CONFIG":                 "InvalidConfigurationException",
	"OUT_OF_ORDER_SEQUENCE_NUMBER":   "OutOfOrderSequenceException",
	"INVALID_TRANSACTION_TIMEOUT":    "InvalidTxnTimeoutException",
	"TRANSACTIONAL_ID_AUTHORIZATION": "TransactionalIdAuthorizationException",
	"KAFKA_STORAGE_ERROR":            "KafkaStorageException",
	"NON_EMPTY_GROUP":                "GroupNotEmptyException",
}

// class is the Java exception of a protocol error: GROUP_ID_NOT_FOUND is
// GroupIdNotFoundException.
func class(name string) string {
	if known, ok := classes[name]; ok {
		return known
	}
	var out strings.Builder
	for word := range strings.SplitSeq(name, "_") {
		out.WriteString(word[:1] + strings.ToLower(word[1:]))
	}
	return out.String() + "Exception"
}
