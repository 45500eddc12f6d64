package mysql

import (
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
)

// newSalt returns the 20 random bytes of a challenge. They are 7-bit and neither NUL nor '$', because clients
// read the salt as a string.
func newSalt() []byte {
	salt := make([]byte, saltSize)
	_, _ = rand.Read(salt) // never fails: crypto/rand ends the process instead
	for i, b := range salt {
		b &= 0x7f
		if b == 0 || b == '$' {
			b++
		}
		salt[i] = b
	}
	return salt
}

// nativeResponse answers a mysql_native_password challenge:
// SHA1(password) XOR SHA1(salt + SHA1(SHA1(password))). An empty password has an empty response.
func nativeResponse(salt []byte, password string) []byte {
	if password == "" {
		return nil
	}
	stage1 := sha1.Sum([]byte(password))
	stage2 := sha1.Sum(stage1[:])
	h := sha1.New()
	h.Write(salt)
	h.Write(stage2[:])
	response := h.Sum(nil)
	for i := range response {
		response[i] ^= stage1[i]
	}
	return response
}

// verifyNative reports whether response answers the challenge. The time it takes does not depend on where the
// two differ.
func verifyNative(salt, response []byte, password string) bool {
	return subtle.ConstantTimeCompare(nativeResponse(salt, password), response) == 1
}
