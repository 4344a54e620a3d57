"""Small programs as the official documentation and README show them, and as people write them.

Each is the text of a program for the official package. The runner gives it a working folder with
the bound ``client-config.json`` and the names of ``tests.drop_in.conftest.Place``: LOGIN, TYPED and
so on are uids of records, FOLDER and CHILD of folders; new_token() makes a one-time token, and
SERVER holds the keyword arguments of a private server. It prints what its author would look at.
"""

from __future__ import annotations

from textwrap import dedent

# Runs before each of the programs in BOUND.
HEADER = """\
from keeper_secrets_manager_core import SecretsManager
from keeper_secrets_manager_core.storage import FileKeyValueStorage
manager = SecretsManager(config=FileKeyValueStorage("client-config.json"))
"""

READING = {
    "all records": "print(sorted(r.title for r in manager.get_secrets()))",
    "how many records": "print(len(manager.get_secrets()))",
    "one record by uid": "print(manager.get_secrets([LOGIN])[0].title)",
    "one record by uid as text": "print(manager.get_secrets(LOGIN)[0].title)",
    "two records by uid": "print(sorted(r.title for r in manager.get_secrets([LOGIN, TYPED])))",
    "a uid that is not there": "print(manager.get_secrets(['A' * 22]))",
    "a uid that is not there is false": "print(bool(manager.get_secrets(['A' * 22])))",
    "index of what is not there": "print(manager.get_secrets(['A' * 22])[0])",
    "password attribute": "print(manager.get_secrets([LOGIN])[0].password)",
    "password of another type": "print(manager.get_secrets([TYPED])[0].password)",
    "type and title": "r = manager.get_secrets([TYPED])[0]; print(r.type, r.title)",
    "a record as text": "print(manager.get_secrets([LOGIN])[0])",
    "a field": "print(manager.get_secrets([LOGIN])[0].field('login'))",
    "a single field": "print(manager.get_secrets([LOGIN])[0].field('login', single=True))",
    "a field in another case": "print(manager.get_secrets([LOGIN])[0].field('LOGIN'))",
    "a field that is empty": "print(manager.get_secrets([LOGIN])[0].field('url', single=True))",
    "a field that is not there": "print(manager.get_secrets([LOGIN])[0].field('nope'))",
    "a missing field is a ValueError": """
        try:
            manager.get_secrets([LOGIN])[0].field("nope")
        except ValueError as err:
            print("Cannot find" in str(err))
    """,
    "a standard field value": (
        "print(manager.get_secrets([LOGIN])[0].get_standard_field_value('password', True))"
    ),
    "a standard field": "print(manager.get_secrets([LOGIN])[0].get_standard_field('login'))",
    "a standard field of none": "print(manager.get_secrets([LOGIN])[0].get_standard_field('x'))",
    "a missing standard field value": (
        "print(manager.get_secrets([LOGIN])[0].get_standard_field_value('x', True))"
    ),
    "a custom field": "print(manager.get_secrets([TYPED])[0].custom_field('environment'))",
    "a single custom field": (
        "print(manager.get_secrets([TYPED])[0].custom_field('environment', single=True))"
    ),
    "a custom field by type": (
        "print(manager.get_secrets([TYPED])[0].custom_field('x', field_type='phone'))"
    ),
    "a custom field that is not there": "print(manager.get_secrets([LOGIN])[0].custom_field('x'))",
    "a custom field value": (
        "print(manager.get_secrets([TYPED])[0].get_custom_field_value('Phones', single=True))"
    ),
    "a custom field object": "print(manager.get_secrets([TYPED])[0].get_custom_field('Phones'))",
    "the notes": "print(manager.get_secrets([TYPED])[0].dict.get('notes'))",
    "the dictionary": "print(manager.get_secrets([LOGIN])[0].dict['fields'])",
    "the raw json": """
        import json
        print(json.loads(manager.get_secrets([LOGIN])[0].raw_json)["title"])
    """,
    "revision and editable": """
        r = manager.get_secrets([IN_FOLDER])[0]
        print(r.revision, r.is_editable, r.folder_uid == FOLDER, r.inner_folder_uid)
    """,
    "the record key": "print(len(manager.get_secrets([LOGIN])[0].record_key_bytes))",
    "by title": "print(manager.get_secret_by_title('My Login').uid == LOGIN)",
    "by a title that is not there": "print(manager.get_secret_by_title('nope'))",
    "all by title": "print(len(manager.get_secrets_by_title('twice')))",
    "none by title": "print(manager.get_secrets_by_title('nope'))",
    "find in a list": """
        from keeper_secrets_manager_core.core import find_secret_by_title, find_secrets_by_title
        records = manager.get_secrets()
        print(find_secret_by_title("My Login", records).uid == LOGIN)
        print(len(find_secrets_by_title("twice", records)))
    """,
    "full response": """
        response = manager.get_secrets(full_response=True)
        print(len(response.records), len(response.folders), response.justBound)
        print(response.appData.title, response.appData.app_type)
        print(response.had_bad_records, response.had_bad_folders, response.warnings)
    """,
    "folders of a response": """
        for folder in manager.get_secrets(full_response=True).folders:
            print(folder.uid == FOLDER, sorted(r.title for r in folder.records), len(folder.key))
    """,
    "bad records of a response": """
        response = manager.get_secrets(full_response=True)
        print(response.bad_records, response.bad_folders)
    """,
    "fetch and decrypt": """
        from keeper_secrets_manager_core.dto.payload import QueryOptions
        response = manager.fetch_and_decrypt_secrets(QueryOptions([LOGIN], None))
        print([r.title for r in response.records])
    """,
    "options with records": """
        from keeper_secrets_manager_core.dto.payload import QueryOptions
        options = QueryOptions(records_filter=[LOGIN], folders_filter=None)
        print([r.title for r in manager.get_secrets_with_options(options)])
    """,
    "options with folders": """
        from keeper_secrets_manager_core.dto.payload import QueryOptions
        found = manager.get_secrets_with_options(QueryOptions([], [FOLDER]))
        print(sorted(r.title for r in found))
    """,
    "options that change": """
        from keeper_secrets_manager_core.dto.payload import QueryOptions
        options = QueryOptions(None, None)
        options.records_filter = [LOGIN]
        options.request_links = True
        print([r.title for r in manager.get_secrets_with_options(options)])
    """,
    "print a record": "manager.get_secrets([LOGIN])[0].print()",
    "new attribute of a record": """
        record = manager.get_secrets([LOGIN])[0]
        record.seen = True
        print(record.seen)
    """,
    "attributes of the manager": """
        print(type(manager.config).__name__, manager.hostname, manager.token)
        print(manager.verify_ssl_certs, manager.proxy_url, manager.custom_post_function)
    """,
    "values of the configuration": """
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        print(len(manager.config.get(ConfigKeys.KEY_CLIENT_ID)))
        print(manager.config.get(ConfigKeys.KEY_CLIENT_KEY))
    """,
}

LISTS = {
    "it is a list": "print(isinstance(manager.get_secrets(), list))",
    "an empty one equals []": "print(manager.get_secrets(['A' * 22]) == [])",
    "iterated twice": """
        records = manager.get_secrets()
        print(len([r for r in records]), len([r for r in records]))
    """,
    "first and last": """
        records = manager.get_secrets()
        print(records[0].title != records[-1].title, records[0] is records[0])
    """,
    "a slice": "print(len(manager.get_secrets()[1:3]))",
    "appended": """
        records = manager.get_secrets()
        records.append("more")
        print(len(records), records[-1])
    """,
    "extended": """
        records = manager.get_secrets([LOGIN])
        records.extend(manager.get_secrets([TYPED]))
        print([r.title for r in records])
    """,
    "added": "print(len(manager.get_secrets([LOGIN]) + manager.get_secrets([TYPED])))",
    "added to a list": "print(len([1] + manager.get_secrets([LOGIN])))",
    "added in place": """
        found = []
        found += manager.get_secrets([LOGIN, TYPED])
        print(len(found))
    """,
    "sorted": "print([r.title for r in sorted(manager.get_secrets(), key=lambda r: r.title)][0])",
    "sorted in place": """
        records = manager.get_secrets()
        records.sort(key=lambda r: r.title, reverse=True)
        print(records[0].title)
    """,
    "reversed": """
        records = manager.get_secrets()
        print([r.uid for r in reversed(records)] == [r.uid for r in records][::-1])
    """,
    "filtered": "print(len(list(filter(lambda r: r.type == 'login', manager.get_secrets()))))",
    "popped": "records = manager.get_secrets([LOGIN]); print(records.pop().title, records)",
    "removed": """
        records = manager.get_secrets()
        count = len(records)
        records.remove(records[0])
        print(count - len(records))
    """,
    "in": "records = manager.get_secrets(); print(records[0] in records, 'x' in records)",
    "next": "print(next((r for r in manager.get_secrets() if r.uid == LOGIN), None).title)",
    "unpacked": "[record] = manager.get_secrets([LOGIN]); print(record.title)",
    "starred": "first, *rest = manager.get_secrets(); print(len(rest))",
    "passed on": "print(len([*manager.get_secrets()]), len(tuple(manager.get_secrets())))",
    "zipped": "print(len(list(zip(manager.get_secrets(), range(100)))))",
    "copied": """
        import copy
        records = manager.get_secrets()
        print(len(records.copy()), len(copy.copy(records)), len(list(records)))
    """,
    "joined": "print(', '.join(sorted(r.title for r in manager.get_secrets())))",
    "grouped": """
        from collections import Counter
        print(sorted(Counter(r.type for r in manager.get_secrets()).items()))
    """,
    "as a dictionary": "print({r.uid: r.title for r in manager.get_secrets()}[LOGIN])",
    "index and count": """
        records = manager.get_secrets()
        print(records.index(records[2]), records.count(records[1]))
    """,
}

COPIES = {
    "deepcopy of a record": """
        import copy
        record = manager.get_secrets([LOGIN])[0]
        other = copy.deepcopy(record)
        other.field("login", "changed")
        print(record.field("login", single=True), other.field("login", single=True))
    """,
    "pickle of a record": """
        import pickle
        record = pickle.loads(pickle.dumps(manager.get_secrets([TYPED])[0]))
        print(record.title, record.custom_field("environment"), record.uid == TYPED)
    """,
    "pickle of all records": """
        import pickle
        print(len(pickle.loads(pickle.dumps(manager.get_secrets()))))
    """,
    "deepcopy of all records": """
        import copy
        print(len(copy.deepcopy(manager.get_secrets())))
    """,
    "attributes as a dictionary": """
        print(sorted(vars(manager.get_secrets([LOGIN])[0]))[:3])
    """,
}

NOTATION = {
    "a password": "print(manager.get_notation(f'keeper://{LOGIN}/field/password'))",
    "without the prefix": "print(manager.get_notation(f'{LOGIN}/field/password'))",
    "by title": "print(manager.get_notation('keeper://My Login/field/login'))",
    "by a title of two": "print(manager.get_notation('keeper://twice/field/login'))",
    "by a title of none": "print(manager.get_notation('keeper://nope/field/login'))",
    "the type": "print(manager.get_notation(f'{TYPED}/type'))",
    "the title": "print(manager.get_notation(f'{TYPED}/title'))",
    "the notes": "print(manager.get_notation(f'{TYPED}/notes'))",
    "the notes of none": "print(manager.get_notation(f'{LOGIN}/notes'))",
    "all values": "print(manager.get_notation(f'{TYPED}/custom_field/environment[]'))",
    "the second value": "print(manager.get_notation(f'{TYPED}/custom_field/environment[1]'))",
    "a value beyond": "print(manager.get_notation(f'{TYPED}/custom_field/environment[7]'))",
    "a property": "print(manager.get_notation(f'{TYPED}/custom_field/name[first]'))",
    "a property of the first": "print(manager.get_notation(f'{TYPED}/custom_field/name[0][last]'))",
    "a property of none": "print(manager.get_notation(f'{TYPED}/custom_field/name[0][nope]'))",
    "a field of none": "print(manager.get_notation(f'{TYPED}/field/nope'))",
    "a card by reference": "print(manager.get_notation(f'{TYPED}/custom_field/cardRef'))",
    "an address by reference": (
        "print(manager.get_notation(f'{TYPED}/custom_field/addressRef[0][city]'))"
    ),
    "a file": "print(len(manager.get_notation(f'{LOGIN}/file/all.bin')))",
    "a file of none": "print(manager.get_notation(f'{LOGIN}/file/nope.txt'))",
    "base64 of a notation": """
        import base64
        text = base64.urlsafe_b64encode(f"{LOGIN}/field/login".encode()).decode()
        print(manager.get_notation(text))
    """,
    "results": "print(manager.get_notation_results(f'{TYPED}/custom_field/environment'))",
    "results of a property": (
        "print(manager.get_notation_results(f'{TYPED}/custom_field/Phones[][number]'))"
    ),
    "results of objects": "print(manager.get_notation_results(f'{TYPED}/custom_field/Phones[0]'))",
    "results of none": "print(manager.get_notation_results(f'{TYPED}/custom_field/nope'))",
    "results or nothing": "print(manager.try_get_notation_results(f'{TYPED}/field/nope'))",
    "what ksm exec looks for": """
        try:
            manager.get_notation("no_notation_at_all")
        except Exception as err:
            print("Invalid format of Keeper notation" in str(err))
    """,
    "a bad selector": "print(manager.get_notation(f'{LOGIN}/bad/x'))",
    "nothing": "print(manager.get_notation(''))",
    "parsed": """
        parts = SecretsManager.parse_notation("keeper://My Record/field/name[0][first]")
        print([p.section for p in parts], parts[1].text, parts[2].text, parts[2].parameter)
        print(parts[2].index1, parts[2].index2, [p.is_present for p in parts])
        print([(p.start_pos, p.end_pos) for p in parts])
    """,
    "parsed without a prefix": r"""
        for text in (r"a\/b/custom_field/x\[y\][]", "R/file/a.txt", "R/type", "/notes"):
            parts = SecretsManager.parse_notation(text)
            print([(p.text, p.parameter, p.index1, p.index2) for p in parts])
            print([(p.start_pos, p.end_pos) for p in parts])
    """,
    "parsed in legacy mode": """
        parts = SecretsManager.parse_notation("R/field/name[first]", True)
        print(parts[2].index1, parts[2].index2, SecretsManager.notation_prefix)
    """,
    "inflated": """
        print(manager.get_inflate_ref_types("cardRef"), manager.get_inflate_ref_types("x"))
        print(manager.inflate_field_value([ADDRESS], ["address"]))
    """,
}

FILES = {
    "names": "print(sorted(f.name for f in manager.get_secrets([LOGIN])[0].files))",
    "a file as text": "print(manager.get_secrets([LOGIN])[0].files[0])",
    "title, type and size": """
        f = manager.get_secrets([LOGIN])[0].find_file_by_title("all.bin")
        print(f.title, f.type, f.size, f.last_modified > 0)
    """,
    "a title that is not there": "print(manager.get_secrets([LOGIN])[0].find_file_by_title('x'))",
    "content": "print(len(manager.get_secrets([LOGIN])[0].files[0].get_file_data()))",
    "content with its keywords": """
        f = manager.get_secrets([LOGIN])[0].files[0]
        print(f.file_data, len(f.get_file_data(verify_ssl_certs=True, proxy_url=None)))
        print(len(f.file_data))
    """,
    "saved": """
        import os
        manager.get_secrets([LOGIN])[0].files[0].save_file("out.bin")
        print(os.path.getsize("out.bin"))
    """,
    "saved into a new folder": """
        import os
        f = manager.get_secrets([LOGIN])[0].files[0]
        print(f.save_file("new/folder/out.bin", create_folders=True, verify_ssl_certs=True))
        print(os.path.getsize("new/folder/out.bin"))
    """,
    "saved by title": """
        import os
        manager.get_secrets([LOGIN])[0].download_file_by_title("all.bin", "out.bin")
        print(os.path.getsize("out.bin"))
    """,
    "saved by a title of none": (
        "manager.get_secrets([LOGIN])[0].download_file_by_title('nope', 'out.bin')"
    ),
    "no files": "print(manager.get_secrets([TYPED])[0].files)",
    "the key of a file": "print(len(manager.get_secrets([LOGIN])[0].files[0].record_key_bytes))",
    "a file to upload": """
        from keeper_secrets_manager_core.dto.dtos import KeeperFileUpload
        open("a.txt", "w").write("text")
        f = KeeperFileUpload.from_file("a.txt", file_title="A")
        print(f.Name, f.Title, f.Type, f.Data)
    """,
    "uploaded and downloaded": """
        from keeper_secrets_manager_core.dto.dtos import KeeperFileUpload, RecordCreate
        uid = manager.create_secret(FOLDER, RecordCreate("login", "with a file"))
        record = manager.get_secrets([uid])[0]
        upload = KeeperFileUpload("a.txt", "A", "text/plain", b"content")
        print(len(manager.upload_file(record, upload)))
        print(manager.get_secrets([uid])[0].find_file_by_title("A").get_file_data())
        manager.delete_secret(uid)
    """,
    "uploaded from a path": """
        from keeper_secrets_manager_core.dto.dtos import RecordCreate
        open("a.txt", "w").write("text")
        uid = manager.create_secret(FOLDER, RecordCreate("login", "with a path"))
        manager.upload_file_path(manager.get_secrets([uid])[0], "a.txt")
        print(manager.get_secrets([uid])[0].files[0].name)
        manager.delete_secret([uid])
    """,
    "detached": """
        from keeper_secrets_manager_core.dto.dtos import KeeperFileUpload, RecordCreate
        uid = manager.create_secret(FOLDER, RecordCreate("login", "to detach"))
        file_uid = manager.upload_file(
            manager.get_secrets([uid])[0], KeeperFileUpload("a", "a", "text/plain", b"x"))
        record = manager.get_secrets([uid])[0]
        print(manager.save(record, links_to_remove=[file_uid]))
        print(manager.get_secrets([uid])[0].files)
        manager.delete_secret([uid])
    """,
}

WRITING_HEADER = """\
from keeper_secrets_manager_core.dto.dtos import RecordCreate, RecordField
from keeper_secrets_manager_core.dto.payload import CreateOptions, UpdateOptions

def new_record(title="made", folder=None, **parts):
    record = RecordCreate(record_type="login", title=title)
    record.fields = [RecordField(field_type="login", value="user@example.com"),
                     RecordField(field_type="password", value=["p4ss"])]
    for name, value in parts.items():
        setattr(record, name, value)
    return manager.create_secret(folder or FOLDER, record)

def read(uid):
    return manager.get_secrets([uid])[0]
"""

WRITING = {
    "created": """
        uid = new_record()
        print(len(uid), read(uid).password)
        manager.delete_secret(uid)
    """,
    "created with everything": """
        uid = new_record(notes="note", custom=[RecordField("text", "v", label="l")])
        print(read(uid).dict["notes"], read(uid).dict["custom"], read(uid).title)
        print(manager.delete_secret([uid])[0]["responseCode"])
    """,
    "created in a subfolder": """
        record = RecordCreate("login", "below")
        record.fields = [RecordField("login", "x")]
        uid = manager.create_secret_with_options(CreateOptions(FOLDER, CHILD), record)
        print(read(uid).title, read(uid).inner_folder_uid == CHILD)
        manager.delete_secret(uid)
    """,
    "created in no folder": "new_record(folder='A' * 22)",
    "created from a dictionary": "manager.create_secret(FOLDER, {'title': 'x'})",
    "a wrong type of field": """
        record = RecordCreate("login", "x")
        record.fields = [RecordField("nope", "x")]
        manager.create_secret(FOLDER, record)
    """,
    "a title that is no text": "RecordCreate('login', 5).to_dict()",
    "a record as json": """
        import json
        record = RecordCreate("login", "x")
        record.fields = [RecordField("login", "a", label="L", required=True, privacyScreen=False)]
        record.custom = []
        print(json.loads(record.to_json()))
    """,
    "a field with attributes": "print(vars(RecordField('login', 'x', label='L')))",
    "a field that is set": """
        uid = new_record()
        record = read(uid)
        record.field("password", "second")
        print(manager.save(record), read(uid).password)
        manager.delete_secret(uid)
    """,
    "a standard field value that is set": """
        uid = new_record()
        record = read(uid)
        record.set_standard_field_value("login", "bob")
        manager.save(record)
        print(read(uid).get_standard_field_value("login", True))
        manager.delete_secret(uid)
    """,
    "a custom field that is set": """
        uid = new_record(custom=[RecordField("text", "one", label="env")])
        record = read(uid)
        print(record.custom_field("env", value="two"))
        record.set_custom_field_value("env", ["three"])
        manager.save(record)
        print(read(uid).get_custom_field_value("env"))
        manager.delete_secret(uid)
    """,
    "a custom field that is added": """
        uid = new_record()
        record = read(uid)
        print(record.add_custom_field(field_type="text", label="new", value="v"))
        print(record.add_custom_field(label="untyped"))
        manager.save(record)
        print(read(uid).dict["custom"])
        manager.delete_secret(uid)
    """,
    "the raw json that is set": """
        import json
        uid = new_record()
        record = read(uid)
        content = json.loads(record.raw_json)
        content["notes"] = "changed"
        record.raw_json = json.dumps(content)
        manager.save(record)
        print(read(uid).dict["notes"])
        manager.delete_secret(uid)
    """,
    "the example of the repository": """
        from keeper_secrets_manager_core.utils import json_to_dict, dict_to_json
        uid = new_record()
        record = read(uid)
        raw = json_to_dict(record.raw_json)
        field = next((item for item in raw["fields"] if item["type"] == "password"), None)
        field["value"] = ["New Password"]
        record.raw_json = dict_to_json(raw)
        manager.save(record)
        print(read(uid).password)
        manager.delete_secret(uid)
    """,
    "saved with options": """
        uid = new_record()
        record = read(uid)
        record.field("login", "x")
        print(manager.save_with_options(record, UpdateOptions("general", None)))
        print(manager.complete_transaction(uid), read(uid).field("login"))
        manager.delete_secret(uid)
    """,
    "rolled back": """
        uid = new_record()
        record = read(uid)
        record.field("password", "second")
        manager.save(record, transaction_type="rotation")
        print(manager.complete_transaction(uid, rollback=True), read(uid).password)
        manager.delete_secret(uid)
    """,
    "saved twice": """
        from keeper_secrets_manager_core.exceptions import KeeperError
        uid = new_record()
        record = read(uid)
        manager.save(record)
        try:
            manager.save(record)
        except KeeperError as err:
            print("out_of_sync" in str(err), "out_of_sync" in err.message)
        manager.delete_secret(uid)
    """,
    "deleted": """
        uid = new_record()
        print(manager.delete_secret(uid) == [{"recordUid": uid, "responseCode": "ok"}])
        print(manager.get_secrets([uid]))
    """,
    "deleted what is not there": "print(manager.delete_secret(['A' * 22]))",
    "folders": """
        print(sorted((f.name, f.parent_uid == FOLDER, len(f.folder_key))
                     for f in manager.get_folders()))
    """,
    "a folder made, renamed and deleted": """
        uid = manager.create_folder(CreateOptions(FOLDER, None), "new")
        print(manager.update_folder(uid, "other"))
        print([f.name for f in manager.get_folders() if f.folder_uid == uid])
        print(manager.delete_folder(uid, True) == [{"folderUid": uid, "responseCode": "ok"}])
    """,
    "a folder in no folder": "manager.create_folder(CreateOptions('A' * 22, None), 'new')",
    "a folder list that is reused": """
        folders = manager.get_folders()
        uid = manager.create_folder(CreateOptions(FOLDER, CHILD), "below", folders)
        print(len(manager.get_folders()) - len(folders))
        manager.delete_folder([uid], force_deletion=True)
    """,
}

LINKS_HEADER = """\
from keeper_secrets_manager_core.dto.payload import QueryOptions
record = manager.get_secrets_with_options(QueryOptions([LINKED], None, True))[0]
links = {link.path: link for link in record.get_links()}
"""

LINKS = {
    "links as the server sent them": "print(sorted(str(l.get('path')) for l in record.links))",
    "a link as text": "print(links[None])",
    "whose link it is": """
        print(links["meta"].record_uid == LINKED, links[None].record_uid == LOGIN)
    """,
    "flags of a credential": """
        link = links[None]
        print(link.is_admin_user(), link.is_launch_credential(), link.is_iam_user())
        print(link.belongs_to(), link.no_update_services(), link.get_rotation_settings())
    """,
    "settings that are allowed": """
        link = links["meta"]
        print(link.allows_rotation(), link.allows_connections(), link.allows_port_forwards())
        print(link.allows_session_recording(), link.allows_typescript_recording())
        print(link.allows_remote_browser_isolation(), link.ai_enabled())
        print(link.ai_session_terminate(), link.rotates_on_termination())
        print(link.get_link_data_version(), sorted(link.get_allowed_settings()))
    """,
    "data of a link": """
        link = links["meta"]
        print(link.get_meta_data(), link.has_readable_data(), link.has_encrypted_data())
        print(link.might_be_encrypted(), link.get_decoded_data()[:1])
    """,
    "encrypted data": """
        link = links["ai_settings"]
        print(link.get_link_data(), link.get_ai_settings_data(record.record_key_bytes))
        print(link.might_be_encrypted(), link.get_decrypted_data(record.record_key_bytes))
        print(link.get_jit_settings_data(record.record_key_bytes))
        print(link.get_settings_for_path("ai_settings", record.record_key_bytes))
    """,
}

STANDALONE = {
    "the default file": """
        from keeper_secrets_manager_core import SecretsManager
        print(SecretsManager().get_secrets([LOGIN])[0].title)
    """,
    "the file of the environment": """
        import os
        os.rename("client-config.json", "other.json")
        os.environ["KSM_CONFIG_FILE"] = "other.json"
        from keeper_secrets_manager_core import SecretsManager
        print(SecretsManager().get_secrets([LOGIN])[0].title)
    """,
    "the configuration of the environment": """
        import base64, os
        text = open("client-config.json", "rb").read()
        os.environ["KSM_CONFIG"] = base64.b64encode(text).decode()
        os.remove("client-config.json")
        from keeper_secrets_manager_core import SecretsManager
        print(SecretsManager().get_secrets([LOGIN])[0].title, os.listdir("."))
    """,
    "a configuration in memory": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        config = InMemoryKeyValueStorage(open("client-config.json").read())
        print(SecretsManager(config=config).get_secrets([LOGIN])[0].title)
    """,
    "a configuration in base64": """
        import base64
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        text = base64.b64encode(open("client-config.json", "rb").read()).decode()
        manager = SecretsManager(config=InMemoryKeyValueStorage(text))
        print(len(manager.get_secrets()), sorted(manager.config.read_storage()))
    """,
    "a configuration that is none": """
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        InMemoryKeyValueStorage("{broken")
    """,
    "no configuration": """
        import os
        os.remove("client-config.json")
        from keeper_secrets_manager_core import SecretsManager
        try:
            SecretsManager()
        except ValueError as err:
            print("Cannot locate One Time Token" in str(err))
    """,
    "bound with a token": """
        import os
        os.remove("client-config.json")
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.storage import FileKeyValueStorage
        manager = SecretsManager(
            token=new_token(), hostname=HOST, config=FileKeyValueStorage("client-config.json"),
            **SERVER)
        print(manager.get_secrets([LOGIN])[0].title, os.path.exists("client-config.json"))
        print(oct(os.stat("client-config.json").st_mode)[-3:])
    """,
    "bound in memory": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        config = InMemoryKeyValueStorage()
        manager = SecretsManager(new_token(), HOST, True, config, **SERVER)
        print(manager.get_secrets(full_response=True).justBound)
        print(config.contains(ConfigKeys.KEY_APP_KEY), config.get(ConfigKeys.KEY_CLIENT_KEY))
        print(sorted(config.read_storage()))
    """,
    "bound with the default file": """
        import os
        os.remove("client-config.json")
        from keeper_secrets_manager_core import SecretsManager
        manager = SecretsManager(token=new_token(), hostname=HOST, **SERVER)
        print(len(manager.get_secrets()), os.listdir("."))
    """,
    "another token for a bound configuration": """
        from keeper_secrets_manager_core import SecretsManager
        SecretsManager(token=new_token(), hostname=HOST, **SERVER)
    """,
    "a token without a host": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        SecretsManager(token="A" * 43, config=InMemoryKeyValueStorage())
    """,
    "a token of a region": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        config = InMemoryKeyValueStorage()
        manager = SecretsManager(token="EU:" + "A" * 43, config=config)
        print(manager.hostname, manager.token, config.get(ConfigKeys.KEY_HOSTNAME))
        print(config.get(ConfigKeys.KEY_SERVER_PUBLIC_KEY_ID))
    """,
    "a malformed IL5 token": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        SecretsManager(token="IL5:" + "A" * 43 + ":9", config=InMemoryKeyValueStorage())
    """,
    "a token that was used": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.exceptions import KeeperError
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        token = new_token()
        for _ in range(2):
            try:
                config = InMemoryKeyValueStorage()
                manager = SecretsManager(token, HOST, config=config, **SERVER)
                print(len(manager.get_secrets()))
            except KeeperError as err:
                print("access_denied" in str(err), "redeemed" in err.message)
    """,
    "a device that was revoked": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        from keeper_secrets_manager_core.exceptions import KeeperError
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage
        config = InMemoryKeyValueStorage()
        manager = SecretsManager(new_token(), HOST, config=config, **SERVER)
        manager.get_secrets()
        revoke(config.get(ConfigKeys.KEY_CLIENT_ID))
        try:
            manager.get_secrets()
        except KeeperError as err:
            print("Error: access_denied, message=" in str(err), "revoked" in err.message)
    """,
    "no server": """
        import requests
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        from keeper_secrets_manager_core.storage import FileKeyValueStorage
        config = FileKeyValueStorage("client-config.json")
        config.set(ConfigKeys.KEY_HOSTNAME, "localhost:9")
        try:
            SecretsManager(config=config).get_secrets()
        except requests.exceptions.ConnectionError:
            print("no connection")
    """,
    "a certificate that is not trusted": """
        import os
        import requests
        from keeper_secrets_manager_core import SecretsManager
        del os.environ["REQUESTS_CA_BUNDLE"]
        try:
            SecretsManager().get_secrets()
        except requests.exceptions.RequestException:
            print("not trusted")
    """,
    "certificates that are not verified": """
        from keeper_secrets_manager_core import SecretsManager
        manager = SecretsManager(verify_ssl_certs=False)
        print(manager.verify_ssl_certs)
    """,
    "certificates that the environment skips": """
        import os
        os.environ["KSM_SKIP_VERIFY"] = "TRUE"
        from keeper_secrets_manager_core import SecretsManager
        print(SecretsManager().verify_ssl_certs)
    """,
    "certificates that the environment verifies": """
        import os
        os.environ["KSM_SKIP_VERIFY"] = "FALSE"
        from keeper_secrets_manager_core import SecretsManager
        print(SecretsManager().verify_ssl_certs)
    """,
    "a custom post function": """
        from keeper_secrets_manager_core import SecretsManager
        calls = []
        def post(url, transmission_key, payload, verify_ssl_certs=True, proxy_url=None):
            calls.append((url.rpartition("/")[2], verify_ssl_certs, proxy_url))
            return SecretsManager.post_function(url, transmission_key, payload, verify_ssl_certs)
        manager = SecretsManager(custom_post_function=post)
        print(manager.get_secrets([LOGIN])[0].title, calls)
    """,
    "a post function that is assigned": """
        from keeper_secrets_manager_core import SecretsManager
        manager = SecretsManager()
        original, calls = SecretsManager.post_function, []
        def post(url, *rest):
            calls.append(url.rpartition("/")[2])
            return original(url, *rest)
        manager.post_function = post
        print(len(manager.get_secrets([LOGIN])), len(manager.get_folders()), calls)
    """,
    "a post function that fails": """
        import json
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.core import KSMHttpResponse
        from keeper_secrets_manager_core.exceptions import KeeperError
        class Response:
            status_code, reason = 403, "Forbidden"
            text = json.dumps({"error": "access_denied", "message": "Signature is invalid"})
        def post(*_):
            return KSMHttpResponse(403, b"", Response())
        try:
            SecretsManager(custom_post_function=post).get_secrets()
        except KeeperError as err:
            print("Signature is invalid" in str(err))
    """,
    "the cache": """
        import os
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.core import KSMCache
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        manager = SecretsManager(custom_post_function=KSMCache.caching_post_function)
        print(len(manager.get_secrets()), os.path.exists("ksm_cache.bin"))
        manager.config.set(ConfigKeys.KEY_HOSTNAME, "localhost:9")
        print(len(manager.get_secrets()))
        KSMCache.remove_cache_file()
        print(os.path.exists("ksm_cache.bin"))
    """,
    "the cache in a folder": """
        import os
        os.mkdir("cache")
        os.environ["KSM_CACHE_DIR"] = "cache"
        from keeper_secrets_manager_core.core import KSMCache
        KSMCache.save_cache(b"data")
        print(KSMCache.get_cached_data(), os.listdir("cache"), KSMCache.get_cache_file_path())
    """,
    "a server that throttles": """
        import time
        from keeper_secrets_manager_core import SecretsManager
        waits = []
        time.sleep = waits.append
        throttle(2, 403)
        print(len(SecretsManager().get_secrets([LOGIN])), len(waits), min(waits) > 8)
    """,
    "a server that throttles with 429": """
        import time
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.exceptions import KeeperError
        time.sleep = lambda seconds: None
        throttle(1, 429)
        try:
            print(len(SecretsManager().get_secrets([LOGIN])))
        except KeeperError:
            print("error")
    """,
    "a server that throttles without end": """
        import time
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.exceptions import KeeperError, KeeperThrottleError
        time.sleep = lambda seconds: None
        throttle(6, 403)
        try:
            SecretsManager().get_secrets([LOGIN])
        except KeeperError as err:
            print(isinstance(err, KeeperThrottleError), "throttled" in str(err))
    """,
    "a file storage": """
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        from keeper_secrets_manager_core.storage import FileKeyValueStorage, KeyValueStorage
        storage = FileKeyValueStorage("new.json")
        print(isinstance(storage, KeyValueStorage), storage.default_config_file_location)
        storage.set(ConfigKeys.KEY_HOSTNAME, "h")
        storage.set(ConfigKeys.KEY_URL, "u")
        print(storage.get(ConfigKeys.KEY_HOSTNAME), storage.contains(ConfigKeys.KEY_URL))
        print(storage.delete(ConfigKeys.KEY_URL), storage.is_empty())
        print(open("new.json").read())
        storage.delete_all()
        print(storage.read_storage(), storage.is_empty())
    """,
    "a storage in memory": """
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        from keeper_secrets_manager_core.storage import InMemoryKeyValueStorage, KeyValueStorage
        storage = InMemoryKeyValueStorage({"hostname": "h"})
        print(isinstance(storage, KeyValueStorage), storage.get(ConfigKeys.KEY_HOSTNAME))
        print(storage.set(ConfigKeys.KEY_URL, "u"), storage.read_storage())
        storage.delete(ConfigKeys.KEY_URL)
        storage.delete_all()
        print(storage.read_storage(), storage.contains(ConfigKeys.KEY_HOSTNAME))
    """,
    "a storage of one's own": """
        import json
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.storage import KeyValueStorage
        class Mine(KeyValueStorage):
            def __init__(self):
                self.values = json.load(open("client-config.json"))
            def get(self, key):
                return self.values.get(key.value)
            def set(self, key, value):
                self.values[key.value] = value
            def delete(self, key):
                self.values.pop(key.value, None)
        print(SecretsManager(config=Mine()).get_secrets([LOGIN])[0].title)
    """,
    "the keys of a configuration": """
        from keeper_secrets_manager_core.configkeys import ConfigKeys
        print(sorted(key.name for key in ConfigKeys), ConfigKeys.KEY_APP_KEY.value)
        print(ConfigKeys.get_enum("hostname") is ConfigKeys.KEY_HOSTNAME)
        print(ConfigKeys.get_enum("nope"), ConfigKeys("url").name)
    """,
    "a one-time code": """
        from keeper_secrets_manager_core.utils import get_totp_code
        url = "otpauth://totp/Example:app?secret=JBSWY3DPEHPK3PXP&issuer=Example&counter=59"
        code = get_totp_code(url)
        print(code.code, code.time_left, code.period)
    """,
    "a one-time code of a record": """
        from keeper_secrets_manager_core import SecretsManager
        from keeper_secrets_manager_core.utils import get_totp_code
        url = SecretsManager().get_notation(f"{LOGIN}/field/oneTimeCode")
        print(len(get_totp_code(url).code))
    """,
    "a one-time code of none": """
        from keeper_secrets_manager_core.utils import get_totp_code
        get_totp_code("https://example.com")
    """,
    "a one-time code without a secret": """
        from keeper_secrets_manager_core.utils import get_totp_code
        try:
            get_totp_code("otpauth://totp/x?secret=")
        except ValueError as err:
            print(err)
    """,
    "a password": """
        from keeper_secrets_manager_core.utils import generate_password
        print(len(generate_password()), len(generate_password(20)))
    """,
    "a password of counted kinds": """
        from keeper_secrets_manager_core.utils import generate_password
        made = generate_password(12, lowercase=-3, uppercase=-3, digits=-4, special_characters=-2)
        print(len(made), sum(c.isdigit() for c in made), sum(c.islower() for c in made))
        print(len(generate_password(10, lowercase=0, uppercase=0, digits=4, special_characters=0)))
        print(generate_password(8, 0, 0, 8, 0).isdigit())
        print(len(generate_password(4, lowercase=5, uppercase=5)))
        print(set(generate_password(30, 0, 0, 0, 5, special_characterset="!")))
    """,
    "a transmission key": """
        from keeper_secrets_manager_core import SecretsManager
        key = SecretsManager.generate_transmission_key("10")
        print(key.publicKeyId, len(key.key), len(key.encryptedKey))
        SecretsManager.generate_transmission_key("999")
    """,
    "classes by their modules": """
        from keeper_secrets_manager_core.dto.dtos import (
            AppData, Folder, KeeperFile, KeeperFileUpload, KeeperFolder, KeeperRecordLink,
            Record, RecordCreate, RecordField, SecretsManagerResponse)
        from keeper_secrets_manager_core.dto.payload import (
            CreateOptions, EncryptedPayload, KSMHttpResponse, QueryOptions, TransmissionKey,
            UpdateOptions)
        from keeper_secrets_manager_core.core import (
            SecretsManager, CreateOptions, KeeperFolder, KeeperFileUpload, QueryOptions)
        from keeper_secrets_manager_core.exceptions import (
            KeeperError, KeeperAccessDenied, KeeperThrottleError)
        print(AppData("t", "a").title, KeeperError("m").message)
        print(CreateOptions("f", None).folder_uid)
        print(KSMHttpResponse(200, b"").status_code, TransmissionKey("1", b"k", b"e").key)
    """,
    "logging": """
        import io, logging
        from keeper_secrets_manager_core import SecretsManager
        text = io.StringIO()
        logging.getLogger("ksm").addHandler(logging.StreamHandler(text))
        manager = SecretsManager(log_level="WARNING")
        manager.logger.warning("a warning")
        print(text.getvalue())
    """,
    "a log level of none": """
        from keeper_secrets_manager_core import SecretsManager
        SecretsManager(log_level="LOUD")
    """,
    "helpers for base64 and json": """
        from keeper_secrets_manager_core.utils import (
            base64_to_bytes, bytes_to_base64, dict_to_json, is_base64, json_to_dict,
            url_safe_str_to_bytes, base64_to_string)
        print(base64_to_bytes("AAEC"), bytes_to_base64(b"x"), is_base64("AAEC"), is_base64("!"))
        print(url_safe_str_to_bytes("_-8"), base64_to_string("YQ=="), json_to_dict("{"))
        print(dict_to_json({"a": 1}), json_to_dict('{"a": 1}'))
    """,
}


def all_programs() -> dict[str, str]:
    """Return every program as a whole, by a name that says what it does."""
    groups = (
        ("reading", HEADER, READING),
        ("lists", HEADER, LISTS),
        ("copies", HEADER, COPIES),
        ("notation", HEADER, NOTATION),
        ("files", HEADER, FILES),
        ("writing", HEADER + WRITING_HEADER, WRITING),
        ("links", HEADER + LINKS_HEADER, LINKS),
        ("standalone", "", STANDALONE),
    )
    return {
        f"{group}: {name}": header + dedent(text).strip() + "\n"
        for group, header, programs in groups
        for name, text in programs.items()
    }
