package api

import (
	"bytes"
	"encoding/json"
)

// Decode reads a request's body, a JSON object, into a struct of this package.
// The members in required must be there; an empty body is {}. Members that are
// not known are passed over: a newer sender may know more. Errors are of code
// BadRequest and say what is missing or does not fit.
func Decode(name string, body []byte, required []string, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		body = []byte("{}")
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(body, &members); err != nil {
		return Errorf(BadRequest, "%s: the body is not a JSON object: %v", name, err)
	}
	for _, member := range required {
		if value, ok := members[member]; !ok || string(value) == "null" {
			return Errorf(BadRequest, "%s: the body misses %q", name, member)
		}
	}
	if err := json.Unmarshal(body, into); err != nil {
		return Errorf(BadRequest, "%s: the body does not fit: %v", name, err)
	}
	return nil
}
