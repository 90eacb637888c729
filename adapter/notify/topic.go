package notify

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxTopic is the most bytes of a topic: MQTT sends the length in two bytes.
const maxTopic = 1<<16 - 1

// CheckTopic says why no broker takes a subscription to that topic; nil where it is one of MQTT's
// topic filters. Wildcards count as such, and levels may be empty. Control characters are what a
// broker may close the connection for, so they are refused as well.
func CheckTopic(topic string) error {
	if len(topic) == 0 || len(topic) > maxTopic {
		return fmt.Errorf("topic %.40q: want 1 to %d bytes, it has %d", topic, maxTopic, len(topic))
	}
	if !utf8.ValidString(topic) {
		return fmt.Errorf("topic %.40q: want UTF-8", topic)
	}
	refused := func(r rune) bool {
		// a control character, or what Unicode reserves as no character at all
		return unicode.IsControl(r) || r&0xfffe == 0xfffe || r >= 0xfdd0 && r <= 0xfdef
	}
	if i := strings.IndexFunc(topic, refused); i >= 0 {
		r, _ := utf8.DecodeRuneInString(topic[i:])
		return fmt.Errorf("topic %.40q: want no control character, it has %U", topic, r)
	}
	levels := strings.Split(topic, "/")
	for i, level := range levels {
		switch {
		case strings.Contains(level, "#") && (level != "#" || i < len(levels)-1):
			return fmt.Errorf("topic %.40q: # stands for all that follows: want it last, and alone between slashes", topic)
		case strings.Contains(level, "+") && level != "+":
			return fmt.Errorf("topic %.40q: + stands for one level: want it alone between slashes", topic)
		}
	}
	return nil
}
