"""The keys and JSON types of all resources, as a second opinion on the service's own.

tests/contract/CONTRACT.md 1.3, 1.7, 3.1, 3.3 and 5.
"""

from typing import Any

TEXT, INT, BOOL, LIST, OBJECT, NULL = str, int, bool, list, dict, type(None)

REFERENCE = {"resource_uri": TEXT, "uuid": TEXT}
META = {"limit": INT, "offset": INT, "total_count": INT}
JOB = {
    "uuid": TEXT,
    "resource_uri": TEXT,
    "operation": TEXT,
    "state": TEXT,
    "data": OBJECT,
    "created": TEXT,
    "last_modified": TEXT,
    "resources": LIST,
    "children": LIST,
}
DRIVE_RUNTIME = {
    "is_downloadable": BOOL,
    "is_ephemeral": BOOL,
    "is_snapshotable": BOOL,
    "snapshots_allocated_size": INT,
    "storage_type": TEXT,
}
DRIVE_SHAPE = {
    "affinities": LIST,
    "allow_multimount": BOOL,
    "backup_scheduler": NULL,
    "grantees": LIST,
    "iops": NULL,
    "jobs": LIST,
    "licenses": LIST,
    "media": TEXT,
    "meta": OBJECT,
    "mounted_on": LIST,
    "name": TEXT,
    "owner": REFERENCE,
    "permissions": LIST,
    "remote_snapshots": LIST,
    "resource_uri": TEXT,
    "runtime": DRIVE_RUNTIME,
    "size": INT,
    "snapshots": LIST,
    "status": TEXT,
    "storage_type": TEXT,
    "tags": LIST,
    "uuid": TEXT,
}
UNREADY_DRIVE = {**DRIVE_SHAPE, "runtime": {**DRIVE_RUNTIME, "is_snapshotable": NULL}}
DRIVE_LISTED = {
    "name": TEXT,
    "owner": REFERENCE,
    "resource_uri": TEXT,
    "status": TEXT,
    "uuid": TEXT,
}
SERVER_SHAPE = {
    "auto_start": BOOL,
    "context": BOOL,
    "cpu": INT,
    "cpu_model": NULL,
    "cpu_type": TEXT,
    "cpus_instead_of_cores": BOOL,
    "drives": LIST,
    "enable_numa": BOOL,
    "epcs": LIST,
    "gpus": LIST,
    "grantees": LIST,
    "hv_relaxed": BOOL,
    "hv_tsc": BOOL,
    "hypervisor": TEXT,
    "jobs": LIST,
    "mem": INT,
    "meta": OBJECT,
    "name": TEXT,
    "nics": LIST,
    "owner": REFERENCE,
    "permissions": LIST,
    "pubkeys": LIST,
    "requirements": LIST,
    "resource_uri": TEXT,
    "runtime": NULL,
    "smp": INT,
    "status": TEXT,
    "tags": LIST,
    "uuid": TEXT,
    "vnc_password": TEXT,
}
SERVER_LISTED = {**DRIVE_LISTED, "runtime": NULL}
MOUNT = {
    "boot_order": INT,
    "dev_channel": TEXT,
    "device": TEXT,
    "drive": REFERENCE,
    "runtime": NULL,
}
NIC = {
    "boot_order": NULL,
    "firewall_policy": NULL,
    "ip_v4_conf": {"conf": TEXT, "ip": NULL},
    "ip_v6_conf": NULL,
    "mac": TEXT,
    "model": TEXT,
    "runtime": NULL,
    "vlan": NULL,
}
STATIC_NIC = {**NIC, "ip_v4_conf": {"conf": TEXT, "ip": REFERENCE}}
VLAN_NIC = {**NIC, "ip_v4_conf": NULL, "vlan": REFERENCE}
SCHEMA = {
    "allowed_detail_http_methods": LIST,
    "allowed_list_http_methods": LIST,
    "default_format": TEXT,
    "default_limit": INT,
    "fields": OBJECT,
    "filtering": OBJECT,
    "ordering": LIST,
}


DRIVE_IO = {
    "bytes_read": INT,
    "bytes_written": INT,
    "count_flush": INT,
    "count_read": INT,
    "count_written": INT,
    "total_time_ns_flush": INT,
    "total_time_ns_read": INT,
    "total_time_ns_write": INT,
}
NIC_RUNTIME = {
    "interface_type": TEXT,
    "io": {"bytes_recv": INT, "bytes_sent": INT, "packets_recv": INT, "packets_sent": INT},
    "ip_v4": REFERENCE,
    "ip_v6": NULL,
}
RUNNING_MOUNT = {**MOUNT, "runtime": {"io": DRIVE_IO}}
RUNNING_NIC = {**STATIC_NIC, "runtime": NIC_RUNTIME}
SERVER_RUNTIME = {"active_since": TEXT, "nics": LIST}
RUNNING_SERVER = {**SERVER_SHAPE, "runtime": SERVER_RUNTIME}
SERVER_NIC_RUNTIME = {**NIC_RUNTIME, "mac": TEXT}
ACTION = {"action": TEXT, "result": TEXT, "uuid": TEXT}
TAG = {
    "meta": OBJECT,
    "name": TEXT,
    "owner": REFERENCE,
    "resource_uri": TEXT,
    "resources": LIST,
    "uuid": TEXT,
}
KEY = {
    "fingerprint": TEXT,
    "grantees": LIST,
    "meta": OBJECT,
    "name": TEXT,
    "permissions": LIST,
    "public_key": TEXT,
    "resource_uri": TEXT,
    "tags": LIST,
    "uuid": TEXT,
}
KEYPAIR_SHAPE = {**KEY, "private_key": TEXT}
PUBKEY = {**KEY, "has_private_key": BOOL}
IP = {
    "gateway": TEXT,
    "grantees": LIST,
    "meta": OBJECT,
    "nameservers": LIST,
    "netmask": INT,
    "owner": REFERENCE,
    "permissions": LIST,
    "resource_uri": TEXT,
    "server": REFERENCE,
    "subscription": NULL,
    "tags": LIST,
    "uuid": TEXT,
}
TAGGED = {"owner": REFERENCE, "res_type": TEXT, "resource_uri": TEXT, "uuid": TEXT}
PROFILE = {
    "address": TEXT,
    "api_https_only": BOOL,
    "autotopup_amount": TEXT,
    "autotopup_threshold": TEXT,
    "bank_reference": TEXT,
    "clone_naming": TEXT,
    "company": TEXT,
    "country": TEXT,
    "currency": TEXT,
    "email": TEXT,
    "first_name": TEXT,
    "has_autotopup": BOOL,
    "has_tx_autotopup": BOOL,
    "invoicing": BOOL,
    "key_auth": BOOL,
    "language": TEXT,
    "last_name": TEXT,
    "mailing_list": BOOL,
    "meta": OBJECT,
    "my_notes": TEXT,
    "network_restrictions": NULL,
    "nickname": TEXT,
    "phone": TEXT,
    "postcode": TEXT,
    "reseller": TEXT,
    "signup_time": TEXT,
    "state": TEXT,
    "tax_name": NULL,
    "tax_rate": NULL,
    "title": TEXT,
    "town": TEXT,
    "tx_autotopup_amount": TEXT,
    "tx_autotopup_threshold": TEXT,
    "uuid": TEXT,
    "vat": TEXT,
}
LIBRARY_DRIVE = {**DRIVE_SHAPE, "owner": NULL}
LIBDRIVE = {
    "affinities": LIST,
    "allow_multimount": BOOL,
    "arch": TEXT,
    "category": LIST,
    "description": TEXT,
    "distribution": TEXT,
    "favourite": BOOL,
    "image_type": TEXT,
    "install_notes": TEXT,
    "jobs": LIST,
    "licenses": LIST,
    "media": TEXT,
    "meta": OBJECT,
    "mounted_on": LIST,
    "name": TEXT,
    "os": TEXT,
    "owner": NULL,
    "paid": BOOL,
    "resource_uri": TEXT,
    "size": INT,
    "status": TEXT,
    "storage_type": TEXT,
    "tags": LIST,
    "url": TEXT,
    "uuid": TEXT,
    "version": TEXT,
}
LOG_ENTRY = {
    "action": TEXT,
    "actor": REFERENCE,
    "category": TEXT,
    "details": TEXT,
    "error_message": TEXT,
    "error_point": NULL,
    "error_type": NULL,
    "success": BOOL,
    "timestamp": TEXT,
    "uuid": TEXT,
}


def shape(value: Any, expected: Any) -> Any:
    """The keys and types of a value, as far down as the expectation describes them."""
    if isinstance(expected, dict) and isinstance(value, dict):
        return {key: shape(entry, expected.get(key)) for key, entry in value.items()}
    return type(value)


def assert_shape(value: Any, expected: Any) -> None:
    assert shape(value, expected) == expected
