"""The part of tox.h that toxvpn uses (0.2.18; the same in 0.2.20)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

cdef extern from "stdbool.h":
    pass

cdef extern from "tox/tox.h":
    ctypedef struct CTox "Tox":
        pass
    ctypedef struct CToxOptions "struct Tox_Options":
        pass

    # every error enum fits an int; the names come from the header that is compiled against
    ctypedef int Tox_Connection
    ctypedef int Tox_Log_Level
    ctypedef int Tox_Proxy_Type
    ctypedef int Tox_Savedata_Type
    ctypedef int Tox_Err_New
    ctypedef int Tox_Err_Bootstrap
    ctypedef int Tox_Err_Friend_Add
    ctypedef int Tox_Err_Friend_Delete
    ctypedef int Tox_Err_Friend_By_Public_Key
    ctypedef int Tox_Err_Friend_Get_Public_Key
    ctypedef int Tox_Err_Friend_Query
    ctypedef int Tox_Err_Friend_Custom_Packet
    ctypedef int Tox_Err_Set_Info
    ctypedef int Tox_Err_Get_Port

    enum: TOX_ERR_NEW_OK
    enum: TOX_ERR_NEW_MALLOC
    enum: TOX_ERR_NEW_PORT_ALLOC
    enum: TOX_ERR_NEW_PROXY_BAD_TYPE
    enum: TOX_ERR_NEW_PROXY_BAD_HOST
    enum: TOX_ERR_NEW_PROXY_BAD_PORT
    enum: TOX_ERR_NEW_PROXY_NOT_FOUND
    enum: TOX_ERR_NEW_LOAD_ENCRYPTED
    enum: TOX_ERR_NEW_LOAD_BAD_FORMAT
    enum: TOX_ERR_BOOTSTRAP_OK
    enum: TOX_ERR_BOOTSTRAP_BAD_HOST
    enum: TOX_ERR_BOOTSTRAP_BAD_PORT
    enum: TOX_ERR_FRIEND_ADD_OK
    enum: TOX_ERR_FRIEND_ADD_TOO_LONG
    enum: TOX_ERR_FRIEND_ADD_NO_MESSAGE
    enum: TOX_ERR_FRIEND_ADD_OWN_KEY
    enum: TOX_ERR_FRIEND_ADD_ALREADY_SENT
    enum: TOX_ERR_FRIEND_ADD_BAD_CHECKSUM
    enum: TOX_ERR_FRIEND_ADD_SET_NEW_NOSPAM
    enum: TOX_ERR_FRIEND_ADD_MALLOC
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_OK
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_FOUND
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_FRIEND_NOT_CONNECTED
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_INVALID
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_EMPTY
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_TOO_LONG
    enum: TOX_ERR_FRIEND_CUSTOM_PACKET_SENDQ
    enum: TOX_ERR_SET_INFO_OK
    enum: TOX_ERR_SET_INFO_TOO_LONG
    enum: TOX_SAVEDATA_TYPE_TOX_SAVE
    enum: TOX_PROXY_TYPE_NONE
    enum: TOX_PROXY_TYPE_HTTP
    enum: TOX_PROXY_TYPE_SOCKS5
    enum: TOX_PUBLIC_KEY_SIZE
    enum: TOX_SECRET_KEY_SIZE
    enum: TOX_ADDRESS_SIZE

    uint32_t tox_version_major()
    uint32_t tox_version_minor()
    uint32_t tox_version_patch()

    CToxOptions *tox_options_new(void *error)
    void tox_options_free(CToxOptions *options)
    void tox_options_set_ipv6_enabled(CToxOptions *options, bint enabled)
    void tox_options_set_udp_enabled(CToxOptions *options, bint enabled)
    void tox_options_set_local_discovery_enabled(CToxOptions *options, bint enabled)
    void tox_options_set_hole_punching_enabled(CToxOptions *options, bint enabled)
    void tox_options_set_proxy_type(CToxOptions *options, Tox_Proxy_Type type)
    void tox_options_set_proxy_host(CToxOptions *options, const char *host)
    void tox_options_set_proxy_port(CToxOptions *options, uint16_t port)
    void tox_options_set_start_port(CToxOptions *options, uint16_t port)
    void tox_options_set_end_port(CToxOptions *options, uint16_t port)
    void tox_options_set_tcp_port(CToxOptions *options, uint16_t port)
    void tox_options_set_savedata_type(CToxOptions *options, Tox_Savedata_Type type)
    void tox_options_set_savedata_data(CToxOptions *options, const uint8_t *data, size_t length)
    void tox_options_set_savedata_length(CToxOptions *options, size_t length)
    void tox_options_set_log_callback(CToxOptions *options, void *callback)
    void tox_options_set_log_user_data(CToxOptions *options, void *user_data)

    CTox *tox_new(const CToxOptions *options, Tox_Err_New *error)
    void tox_kill(CTox *tox)
    size_t tox_get_savedata_size(const CTox *tox)
    void tox_get_savedata(const CTox *tox, uint8_t *savedata)
    bint tox_bootstrap(CTox *tox, const char *host, uint16_t port, const uint8_t *key, Tox_Err_Bootstrap *error)
    bint tox_add_tcp_relay(CTox *tox, const char *host, uint16_t port, const uint8_t *key,
                           Tox_Err_Bootstrap *error)
    Tox_Connection tox_self_get_connection_status(const CTox *tox)
    uint32_t tox_iteration_interval(const CTox *tox)
    void tox_iterate(CTox *tox, void *user_data)

    void tox_self_get_address(const CTox *tox, uint8_t *address)
    void tox_self_set_nospam(CTox *tox, uint32_t nospam)
    uint32_t tox_self_get_nospam(const CTox *tox)
    void tox_self_get_public_key(const CTox *tox, uint8_t *key)
    void tox_self_get_secret_key(const CTox *tox, uint8_t *key)
    void tox_self_get_dht_id(const CTox *tox, uint8_t *key)
    uint16_t tox_self_get_udp_port(const CTox *tox, Tox_Err_Get_Port *error)
    uint16_t tox_self_get_tcp_port(const CTox *tox, Tox_Err_Get_Port *error)
    bint tox_self_set_name(CTox *tox, const uint8_t *name, size_t length, Tox_Err_Set_Info *error)
    size_t tox_self_get_name_size(const CTox *tox)
    void tox_self_get_name(const CTox *tox, uint8_t *name)
    bint tox_self_set_status_message(CTox *tox, const uint8_t *text, size_t length, Tox_Err_Set_Info *error)
    size_t tox_self_get_status_message_size(const CTox *tox)
    void tox_self_get_status_message(const CTox *tox, uint8_t *text)

    uint32_t tox_friend_add(CTox *tox, const uint8_t *address, const uint8_t *message, size_t length,
                            Tox_Err_Friend_Add *error)
    uint32_t tox_friend_add_norequest(CTox *tox, const uint8_t *key, Tox_Err_Friend_Add *error)
    bint tox_friend_delete(CTox *tox, uint32_t number, Tox_Err_Friend_Delete *error)
    uint32_t tox_friend_by_public_key(const CTox *tox, const uint8_t *key, Tox_Err_Friend_By_Public_Key *error)
    size_t tox_self_get_friend_list_size(const CTox *tox)
    void tox_self_get_friend_list(const CTox *tox, uint32_t *numbers)
    bint tox_friend_get_public_key(const CTox *tox, uint32_t number, uint8_t *key,
                                   Tox_Err_Friend_Get_Public_Key *error)
    Tox_Connection tox_friend_get_connection_status(const CTox *tox, uint32_t number, Tox_Err_Friend_Query *error)
    size_t tox_friend_get_name_size(const CTox *tox, uint32_t number, Tox_Err_Friend_Query *error)
    bint tox_friend_get_name(const CTox *tox, uint32_t number, uint8_t *name, Tox_Err_Friend_Query *error)
    size_t tox_friend_get_status_message_size(const CTox *tox, uint32_t number, Tox_Err_Friend_Query *error)
    bint tox_friend_get_status_message(const CTox *tox, uint32_t number, uint8_t *text, Tox_Err_Friend_Query *error)
    bint tox_friend_send_lossy_packet(CTox *tox, uint32_t number, const uint8_t *data, size_t length,
                                      Tox_Err_Friend_Custom_Packet *error)
    bint tox_friend_send_lossless_packet(CTox *tox, uint32_t number, const uint8_t *data, size_t length,
                                         Tox_Err_Friend_Custom_Packet *error)

    void tox_callback_self_connection_status(CTox *tox, void *callback)
    void tox_callback_friend_request(CTox *tox, void *callback)
    void tox_callback_friend_name(CTox *tox, void *callback)
    void tox_callback_friend_status_message(CTox *tox, void *callback)
    void tox_callback_friend_connection_status(CTox *tox, void *callback)
    void tox_callback_friend_lossy_packet(CTox *tox, void *callback)
    void tox_callback_friend_lossless_packet(CTox *tox, void *callback)
