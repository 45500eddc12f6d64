package hook

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
)

// maxAnswer is how much of an answer is read, in bytes.
const maxAnswer = 4 << 10

// client follows no redirect: what is told, and its signature, are for the host
// that the operator named. It uses no proxy of the environment, and keeps no
// connection.
var client = &http.Client{
	Transport:     &http.Transport{DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
}

// Signature is the value of the header X-Zero-Signature.
func Signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// post sends the event. Any status of 2xx is success.
func (s Spec) post(ctx context.Context, e Event, body []byte) (string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL, bytes.NewReader(body))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFailed, withoutURL(err))
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "zerokeeper")
	req.Header.Set("X-Zero-Event", e.Event)
	req.Header.Set("X-Zero-Id", e.ID)
	if s.Secret != nil {
		secret, err := s.Secret()
		if err != nil {
			return "", fmt.Errorf("%w: its secret cannot be read: %w", ErrFailed, err)
		}
		req.Header.Set("X-Zero-Signature", Signature(secret, body))
	}
	resp, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrFailed, withoutURL(err))
	}
	defer resp.Body.Close()
	var out bounded
	if _, err := io.Copy(&out, io.LimitReader(resp.Body, maxAnswer)); err != nil {
		return "", fmt.Errorf("%w: read the answer: %w", ErrFailed, withoutURL(err))
	}
	note := fmt.Sprintf("status %d%s", resp.StatusCode, said(&out))
	switch {
	case resp.StatusCode >= 300 && resp.StatusCode < 400:
		return note, fmt.Errorf("%w: status %d, and redirects are not followed: name the final url", ErrFailed, resp.StatusCode)
	case resp.StatusCode < 200 || resp.StatusCode >= 300:
		return note, fmt.Errorf("%w: %s", ErrFailed, note)
	}
	return note, nil
}

// withoutURL is an error of net/http without the URL: that may hold a token.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
