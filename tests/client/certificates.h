// certificates.h - a CA of the test's own and server certificates signed by it, made on the spot.
#pragma once

#include <openssl/bio.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

namespace syzygy {

class TestCa {
 public:
  TestCa() : key_(::EVP_EC_gen("P-256"), &::EVP_PKEY_free), certificate_(make("syzygy test CA", key_.get(), nullptr)) {}

  [[nodiscard]] std::string pem() const { return pem_of(certificate_.get()); }

  struct Issued {
    std::string key;
    std::string certificate;
  };
  // `names` as in subjectAltName: "DNS:localhost,IP:127.0.0.1".
  [[nodiscard]] Issued issue(const std::string& names) const {
    const Key key(::EVP_EC_gen("P-256"), &::EVP_PKEY_free);
    const Certificate certificate = make("syzygy test server", key.get(), names.c_str());
    const Bio bio(::BIO_new(::BIO_s_mem()), &::BIO_free);
    ::PEM_write_bio_PrivateKey(bio.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr);
    return {text_of(bio.get()), pem_of(certificate.get())};
  }

 private:
  using Key = std::unique_ptr<EVP_PKEY, decltype(&::EVP_PKEY_free)>;
  using Certificate = std::unique_ptr<X509, decltype(&::X509_free)>;
  using Bio = std::unique_ptr<BIO, decltype(&::BIO_free)>;

  // Without `names` it is the CA itself.
  Certificate make(const char* common_name, EVP_PKEY* key, const char* names) const {
    Certificate made(::X509_new(), &::X509_free);
    ::X509_set_version(made.get(), 2);
    static long serial = 0;
    ::ASN1_INTEGER_set(::X509_get_serialNumber(made.get()), ++serial);
    ::X509_gmtime_adj(::X509_getm_notBefore(made.get()), -3'600);
    ::X509_gmtime_adj(::X509_getm_notAfter(made.get()), 3'600);
    ::X509_set_pubkey(made.get(), key);
    X509_NAME* name = ::X509_get_subject_name(made.get());
    ::X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, reinterpret_cast<const unsigned char*>(common_name), -1, -1,
                                 0);
    ::X509_set_issuer_name(made.get(), names == nullptr ? name : ::X509_get_subject_name(certificate_.get()));
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    ::X509V3_set_ctx(&context, made.get(), made.get(), nullptr, nullptr, 0);
    X509_EXTENSION* extension =
        names == nullptr ? ::X509V3_EXT_conf_nid(nullptr, &context, NID_basic_constraints, "critical,CA:TRUE")
                         : ::X509V3_EXT_conf_nid(nullptr, &context, NID_subject_alt_name, names);
    if (extension == nullptr) throw std::runtime_error("the test's certificate cannot be made");
    ::X509_add_ext(made.get(), extension, -1);
    ::X509_EXTENSION_free(extension);
    if (::X509_sign(made.get(), key_.get(), ::EVP_sha256()) == 0) throw std::runtime_error("it cannot be signed");
    return made;
  }
  static std::string text_of(BIO* bio) {
    char* bytes = nullptr;
    const long size = BIO_get_mem_data(bio, &bytes);
    return {bytes, static_cast<std::size_t>(size)};
  }
  static std::string pem_of(X509* certificate) {
    const Bio bio(::BIO_new(::BIO_s_mem()), &::BIO_free);
    ::PEM_write_bio_X509(bio.get(), certificate);
    return text_of(bio.get());
  }

  Key key_;
  Certificate certificate_;
};

}  // namespace syzygy
